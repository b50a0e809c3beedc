# ---- threads --------------------------------------------------------------------------------------------------
# How the threads of a call meet, and how helpers wait for the next one. Between two calls Python runs on the first
# thread only, mostly for less time than it takes to wake another thread: the other threads, its helpers, wait here for
# the next call, and leave if it does not come soon. Ctrl-C comes in between two calls.

cdef enum:
    ARRIVED = 0             # places in job.control, a cache line apart
    GENERATION = 8
    ABANDONED = 16
    CALL_STEPS = 17         # of the call under way; 0 between calls
    PAUSE_AFTER = 18        # the first sample of the turn after which a validation pauses; 0: not yet
    HELPERS = 24            # the first helper's state
    HELPER_WORDS = 8        # from one helper's state to the next
    AWAY = 0                # states of a helper: not in the kernels,
    WAITING = 1             # in the kernels, for the next call,
    CALLED = 2              # in a call, or on its way to one
    SPINS = 4000            # tries before a waiting thread offers its core to others: some 20 to 50 microseconds
    TRIES_PER_TIME = 64     # tries from one reading of the clock to the next
    STAYS = 1000000         # nanoseconds before a helper leaves
    PAUSES = 50000000       # nanoseconds before a validation or a prediction pauses, so that Python sees a Ctrl-C


cdef inline void wait_a_little(Index tries) noexcept nogil:
    """Pause between two reads of what another thread will write."""
    if tries < SPINS:
        spin_pause()
    else:
        sched_yield()


cdef bint meet(Job* job) noexcept nogil:
    """Wait until every thread is here; False if the call was abandoned, so that not all will come."""
    cdef int64_t generation
    cdef Index spins = 0
    if job.settings.threads == 1:
        return True
    generation = shared_load(&job.control[GENERATION])
    if shared_add(&job.control[ARRIVED], 1) == job.settings.threads:
        shared_store(&job.control[ARRIVED], 0)
        shared_store(&job.control[GENERATION], generation + 1)
        return True
    while shared_load(&job.control[GENERATION]) == generation:
        if shared_load(&job.control[ABANDONED]):
            return False
        spins += 1
        wait_a_little(spins)
    return True


cdef inline int64_t* helper_state(int64_t* control, Index thread) noexcept nogil:
    return control + HELPERS + (thread - 1) * HELPER_WORDS


cdef Index next_call(Job* job) noexcept nogil:
    """Wait for the next call, and return its steps; 0: the helper has to leave."""
    cdef int64_t* state = helper_state(job.control, job.thread)
    cdef int64_t begun = nanoseconds()
    cdef Index tries = 0
    cdef bint leaves = False
    shared_store(state, WAITING)
    while shared_load(state) == WAITING:
        if leaves and shared_swap(state, WAITING, AWAY):
            return 0
        wait_a_little(tries)
        tries += 1
        leaves = shared_load(&job.control[ABANDONED]) or (tries % TRIES_PER_TIME == 0 and nanoseconds() - begun > STAYS)
    return <Index> job.control[CALL_STEPS]


cdef bint call_helper(int64_t* control, Index thread) noexcept nogil:
    """Call a helper as soon as its last call has ended; False if it is away, and has to be sent into the kernels."""
    cdef int64_t* state = helper_state(control, thread)
    cdef Index tries = 0
    while shared_load(state) == CALLED and not shared_load(&control[ABANDONED]):
        tries += 1
        wait_a_little(tries)
    if shared_swap(state, WAITING, CALLED):
        return True
    shared_store(state, CALLED)
    return False
