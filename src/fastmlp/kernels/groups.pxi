# ---- gradients summed apart -----------------------------------------------------------------------------------
# If a batch is cut into groups of samples, each group's gradient is computed by itself, and the gradients are added up
# as a binary tree over the groups: (0 + 1) + (2 + 3), and so on. A thread adds up its own groups, from its own cache;
# sums over groups of several threads follow after a barrier, slab by slab. So the order of additions follows from the
# number of groups, never from the number of threads, and little is carried from core to core.

cdef enum:
    GROUP_UNIT = 16         # the layout rounds the length of a group's gradient up to this


cdef inline real* group_gradient(const Job* job, Index group) noexcept nogil:
    # returns (parameters,)
    """Return where a group's gradient lies, and then the sums that begin with this group."""
    return job.workspace + job.settings.groups_at + group * rounded_up(job.settings.parameters, GROUP_UNIT)


cdef inline Index groups_of(const Job* job, Index rows) noexcept nogil:
    """Return how many gradients of a batch (narrow) or a chunk (wide) of `rows` are summed apart; 1: none."""
    if job.settings.narrow:
        return min(job.settings.groups, (rows + job.settings.chunk - 1) // job.settings.chunk)
    return min(job.settings.groups, rows)


cdef inline Index first_part(const Job* job, Index thread, Index parts) noexcept nogil:
    """Return the first of the parts that a thread takes: neighbours, after which the next thread's parts begin."""
    return thread * parts // job.settings.threads


cdef inline Index thread_of_group(const Job* job, Index group, Index groups) noexcept nogil:
    """Return the thread t with first_part(t) <= group < first_part(t + 1)."""
    return ((group + 1) * job.settings.threads - 1) // groups


cdef void add_to(real* total, const real* part, Index size) noexcept nogil:
    # total, part (size,)
    """total += part."""
    cdef Index v, whole = size // LANES, rest = size - size // LANES * LANES
    for v in range(whole):
        store(total + v * LANES, load(total + v * LANES) + load(part + v * LANES))
    if rest:
        v = whole * LANES
        store_first(total + v, load_first(total + v, rest) + load_first(part + v, rest), rest)


cdef void add_groups(const Job* job, Index groups, Index begin, Index end, bint own) noexcept nogil:
    """Add up groups over parameters begin ... end: own: only groups of this thread; else only those of several."""
    cdef Index span = 1, group, owner
    cdef bint shared
    while span < groups:
        group = 0
        while group + span < groups:
            owner = thread_of_group(job, group, groups)
            shared = thread_of_group(job, min(group + 2 * span, groups) - 1, groups) != owner
            if shared != own and (shared or owner == job.thread):
                add_to(group_gradient(job, group) + begin, group_gradient(job, group + span) + begin, end - begin)
            group += 2 * span
        span *= 2


cdef void sum_of_groups(const Job* job, const Slab* slab, Index groups, bint accumulates) noexcept nogil:
    """gradient = or += Σ_groups over a slab, after every group is done."""
    cdef Index size = slab.end - slab.begin
    add_groups(job, groups, slab.begin, slab.end, False)
    if accumulates:
        add_to(job.gradient + slab.begin, group_gradient(job, 0) + slab.begin, size)
    else:
        memcpy(job.gradient + slab.begin, group_gradient(job, 0) + slab.begin, size * sizeof(real))
