# ---- training -------------------------------------------------------------------------------------------------
# A step has two halves, each of which ends at a barrier: every thread takes samples forward and back; every thread
# takes slabs of the parameters through gradient, penalty and update. Clipping a norm, of the gradient or of a unit's
# weights, needs all slabs and a barrier of its own. All threads go through run_steps() side by side and come to the
# same decisions from the same numbers; the first thread alone writes the record and the position.

cdef enum:
    ALL_LAYERS = -1
    NARROW_TURN = 64        # chunks of a narrow network that are validated from one meeting to the next


cdef void shuffle_rows(int32_t* order, int64_t seed, int64_t epoch, Index size) noexcept nogil:
    # order (size,)
    """order = the permutation that seed and epoch name (R. A. Fisher and F. Yates; R. Durstenfeld, 1964)."""
    cdef uint64_t golden = 0x9E3779B97F4A7C15
    cdef uint64_t key = mix(<uint64_t> seed + golden * <uint64_t> (epoch + 1))
    cdef Index i, j
    cdef int32_t kept
    for i in range(size):
        order[i] = <int32_t> i
    for i in range(size - 1, 0, -1):
        # 32 random bits times (i + 1), shifted down: D. Lemire (2019), its bias below size / 2^32
        j = <Index> (((mix(key + golden * <uint64_t> i) >> 32) * <uint64_t> (i + 1)) >> 32)
        kept = order[i]
        order[i] = order[j]
        order[j] = kept


cdef double penalty_of(const Job* job, const Slab* slab) noexcept nogil:
    """l2 / 2 Σ W² + l1 Σ |W| over a slab, both already over N."""
    cdef double penalty = 0
    cdef const real* w = job.parameters + slab.begin
    if job.settings.l2 > 0:
        penalty += 0.5 * job.settings.l2 * sum_of_squares(w, slab.penalized)
    if job.settings.l1 > 0:
        penalty += job.settings.l1 * sum_of_magnitudes(w, slab.penalized)
    return penalty


cdef inline double inverse(double weight) noexcept nogil:
    """1 / weight; of no weight 0, so that a batch without any leaves no gradient."""
    return 1.0 / weight if weight > 0 else 0.0


cdef inline double penalty_scale(const Settings* settings, double weight) noexcept nogil:
    """What penalties are multiplied with: 1 if they are over N, or 1 / weight if they are over the batch's weight."""
    return inverse(weight) if settings.own_average else 1.0


cdef inline bint penalized(const Job* job) noexcept nogil:
    return job.settings.l1 > 0 or job.settings.l2 > 0


cdef inline double* penalties(const Job* job, int64_t step) noexcept nogil:
    """The slabs' penalties before a step; two rows in turn, so that one is read while the next is written."""
    return job.tallies + job.settings.penalties_at + (step % 2) * job.n_slabs


cdef void find_penalties(const Job* job, int64_t step, Index begin, Index end) noexcept nogil:
    """Write the penalties of slabs begin ... end."""
    cdef Index s
    if penalized(job):
        for s in range(begin, end):
            penalties(job, step)[s] = penalty_of(job, &job.slabs[s])


cdef double total_penalty(const Job* job, int64_t step) noexcept nogil:
    cdef double total = 0
    cdef Index s
    if penalized(job):
        for s in range(job.n_slabs):
            total += penalties(job, step)[s]
    return total


cdef double published_shift(const Job* job, int64_t step, Index layer) noexcept nogil:
    """λ ΣW² of a layer: what the article adds to every weight in the place of λ W, here over N like the rest."""
    cdef double total = 0
    cdef Index s
    if job.settings.published_ridge:
        for s in range(job.n_slabs):
            if job.slabs[s].layer == layer:
                total += 2 * penalties(job, step)[s]
    return total


cdef double beta1_of(const Settings* settings, int64_t number) noexcept nogil:
    """beta1 of a step, counted from 1; NAdam lets it grow."""
    if settings.optimizer != NADAM:
        return settings.beta1
    return settings.beta1 * (1.0 - 0.5 * pow(0.96, number * settings.momentum_decay))


cdef Step settled_step(const Settings* settings) noexcept nogil:
    """What every step of a call has in common."""
    cdef Step step
    step.own = own_settings(settings)
    step.scale = step.rate = step.kept = step.g_scale = step.m_scale = step.v_scale = 1
    step.penalty_scale = 1
    step.beta1_rest = <real> (1.0 - settings.beta1)
    step.beta2_rest = <real> (1.0 - settings.beta2)
    step.clip_value = <real> settings.clip_value
    step.keep_gradient = step.finished = False
    return step


cdef double own_weight(const Job* job, const Samples* samples, Index first, Index rows) noexcept nogil:
    """What a batch's loss is divided by: its rows, or the sum of their weights with own_average."""
    cdef double weight = 0
    cdef Index s
    if not job.settings.own_average or samples.weights == NULL:
        return rows
    for s in range(first, first + rows):
        weight += samples.weights[row_number(samples, s)]
    return weight


cdef void set_step(
    Step* step, const Settings* settings, const Position* now, double weight, double rate,
) noexcept nogil:
    """Set what belongs to the next step alone: a batch of that weight, at a learning rate."""
    cdef double beta1, product, following
    step.scale = <real> inverse(weight)
    step.penalty_scale = penalty_scale(settings, weight)
    step.finished = False
    rate = rate / (1.0 + now.step * settings.rate_decay)
    step.rate = <real> rate
    step.kept = <real> (1.0 - rate * settings.weight_decay)
    if settings.optimizer != ADAM and settings.optimizer != NADAM:
        return
    beta1 = beta1_of(settings, now.step + 1)
    product = now.beta1_power * beta1
    step.v_scale = <real> (1.0 / sqrt(1.0 - now.beta2_power * settings.beta2))
    if settings.epsilon_hat:
        step.own.epsilon = <real> (settings.epsilon / sqrt(1.0 - now.beta2_power * settings.beta2))
    if settings.optimizer == ADAM:
        step.m_scale = <real> (1.0 / (1.0 - product))
        return
    following = beta1_of(settings, now.step + 2)
    step.g_scale = <real> ((1.0 - beta1) / (1.0 - product))
    step.m_scale = <real> (following / (1.0 - product * following))


cdef Slots slots_of(const Job* job, Index begin) noexcept nogil:
    """The optimizer's state from a parameter on."""
    cdef Slots state
    state.a = job.state + begin
    state.b = state.a + job.settings.parameters
    state.c = state.b + job.settings.parameters
    return state


cdef void update_slab(
    const Job* job, const Slab* slab, const Position* now, const Step* step, int optimizer,
) noexcept nogil:
    """Penalty and optimizer over a slab whose gradient is summed."""
    cdef const Settings* settings = job.settings
    cdef Penalty penalty
    cdef real* w = job.parameters + slab.begin
    cdef real* g = job.gradient + slab.begin
    cdef Slots state = slots_of(job, slab.begin)
    cdef Index weights = slab.penalized if penalized(job) and not step.finished else 0, size = slab.end - slab.begin
    if weights > 0:
        penalty.l1 = <real> (settings.l1 * step.penalty_scale)
        penalty.l2 = <real> (0 if settings.published_ridge else settings.l2 * step.penalty_scale)
        penalty.shift = <real> (published_shift(job, now.step, slab.layer) * step.penalty_scale)
        update(w, g, state, weights, step, &penalty, optimizer)
    update(w + weights, g + weights, moved(state, weights), size - weights, step, NULL, optimizer)


ctypedef struct BatchPart:
    Index first                 # its first sample
    Index rows
    Index batch                 # the rows of its batch
    bint more                   # whether chunks of the same batch came before it


cdef inline BatchPart last_chunk(const Job* job, Index first, Index batch) noexcept nogil:
    """The last chunk of a batch whose first sample is `first`."""
    cdef BatchPart chunk
    cdef Index before = (batch - 1) // job.settings.chunk * job.settings.chunk
    chunk.first = first + before
    chunk.rows = batch - before
    chunk.batch = batch
    chunk.more = before > 0
    return chunk


cdef void update_parameters(
    Job* job, const Samples* samples, const BatchPart* chunk, const Position* now, const Step* step, int optimizer,
) noexcept nogil:
    """This thread's slabs: gradient over the batch (narrow) or a chunk of it, then the update.

    The last of a wide network's chunks brings the step; before it, step is NULL. If the optimizer is FROZEN, a step
    only finishes the gradient.
    """
    cdef Index s, groups = groups_of(job, chunk.batch if job.settings.narrow else chunk.rows)
    cdef const Slab* slab
    for s in range(job.first_slab, job.end_slab):
        slab = &job.slabs[s]
        if job.settings.narrow:
            if groups > 1:
                sum_of_groups(job, slab, groups, False)
        elif job.settings.groups > 1:       # a last chunk of one row is one group, and lies where groups do
            sum_of_groups(job, slab, groups, chunk.more)
        else:
            wide_slab_gradient(job, samples, slab, chunk.first, chunk.rows, chunk.more, step != NULL)
        if step == NULL:
            continue
        update_slab(job, slab, now, step, optimizer)
        if penalized(job) and optimizer == job.settings.optimizer:      # not if the step is still to come
            penalties(job, now.step + 1)[s] = penalty_of(job, slab)
        if step.keep_gradient:
            job.tallies[job.settings.norms_at + s] = sum_of_squares(job.gradient + slab.begin, slab.end - slab.begin)


cdef double scaled_norm(const real* x, Index size) noexcept nogil:
    # x (size,)
    """sqrt(Σ x²), also if the squares overflow."""
    cdef double total = 0, number
    cdef Index i
    for i in range(size):
        number = <double> x[i] * SMALL_SCALE
        total += number * number
    return sqrt(total) / SMALL_SCALE


cdef double norm_of_gradient(const Job* job, Index layer) noexcept nogil:
    """The norm of a layer's part of a finished gradient, or of all of it for ALL_LAYERS, from its slabs' squares."""
    cdef double total = 0, norm = 0
    cdef Index s
    cdef const Slab* slab
    for s in range(job.n_slabs):
        if layer == ALL_LAYERS or job.slabs[s].layer == layer:
            total += job.tallies[job.settings.norms_at + s]
    if total < INFINITY:
        return sqrt(total)
    for s in range(job.n_slabs):        # every thread by itself: almost never
        slab = &job.slabs[s]
        if layer == ALL_LAYERS or slab.layer == layer:
            norm = hypot(norm, scaled_norm(job.gradient + slab.begin, slab.end - slab.begin))
    return norm


cdef void scale_gradient(const Job* job, real factor) noexcept nogil:
    """This thread's slabs of the gradient times a power of two."""
    cdef Index i
    for i in range(job.slabs[job.first_slab].begin, job.slabs[job.end_slab - 1].end):
        job.gradient[i] *= factor


cdef void clipped_update(Job* job, const Position* now, Step* step) noexcept nogil:
    """This thread's slabs, once the gradient is finished: the step along the gradient, its norm clipped."""
    cdef double norm = norm_of_gradient(job, ALL_LAYERS) + 1e-6     # as PyTorch's clip_grad_norm_
    cdef double fraction = job.settings.clip_norm / norm
    cdef bint vanishes = fraction < SMALLEST_NORMAL and job.first_slab < job.end_slab
    cdef Index s
    if vanishes:        # as a real it would be zero, and with it the step
        scale_gradient(job, SMALL_SCALE)
        fraction = job.settings.clip_norm / (norm * SMALL_SCALE)
    step.scale = <real> (fraction if fraction < 1 else 1)
    step.keep_gradient = False
    step.finished = True
    for s in range(job.first_slab, job.end_slab):
        update_slab(job, &job.slabs[s], now, step, <int> job.settings.optimizer)
        if penalized(job):
            penalties(job, now.step + 1)[s] = penalty_of(job, &job.slabs[s])
    if vanishes:
        scale_gradient(job, <real> 1 / SMALL_SCALE)


cdef void limit_weights(const Job* job) noexcept nogil:
    """This thread's units of every layer: their incoming weights' norms cut to max_norm."""
    cdef Index number, blocks, block
    cdef const Layer* layer
    for number in range(job.n_layers):
        layer = &job.layers[number]
        blocks = (layer.outputs + LANES - 1) // LANES
        for block in range(first_part(job, job.thread, blocks), first_part(job, job.thread + 1, blocks)):
            limit_columns(job.parameters + layer.weights + block * LANES, layer.outputs, layer.inputs,
                          min(LANES, layer.outputs - block * LANES), <real> job.settings.max_norm)


cdef bint batch_gradient(Job* job, const Samples* samples, Index first, Index rows, bint gathered) noexcept nogil:
    """The batch's deltas, tallies and gradient, except that of a wide network's last chunk. False: abandoned."""
    cdef Index begin = 0, chunk = job.settings.chunk
    cdef BatchPart whole
    if job.settings.narrow:
        narrow_gradient(job, samples, first, rows, gathered)
        return meet(job)
    while True:
        wide_rows(job, samples, first + begin, min(chunk, rows - begin),
                  <Tally*> job.tallies, units_before(job, begin), True)
        if not meet(job):
            return False
        if begin + chunk >= rows:
            return True
        whole.first = first + begin
        whole.rows = chunk
        whole.batch = rows
        whole.more = begin > 0
        update_parameters(job, samples, &whole, job.position, NULL, FROZEN)
        if not meet(job):
            return False
        begin += chunk


cdef Tally sum_of_tallies(const Tally* tallies, Index count) noexcept nogil:
    cdef Tally total
    cdef Index i
    total.loss = total.hits = 0
    for i in range(count):
        total.loss += tallies[i].loss
        total.hits += tallies[i].hits
    return total


cdef Index tallies_of(const Job* job, Index rows) noexcept nogil:
    """How many tallies a batch of `rows` leaves."""
    cdef Index last_chunk = (rows - 1) // job.settings.chunk * job.settings.chunk
    if job.settings.narrow:
        return groups_of(job, rows)
    return units_before(job, last_chunk) + units_of(job, rows - last_chunk)


cdef inline Index validation_tallies(const Job* job, Index rows) noexcept nogil:
    """How many tallies `rows` samples to validate on leave."""
    return (rows + job.settings.chunk - 1) // job.settings.chunk if job.settings.narrow else tallies_of(job, rows)


cdef void validate_turn(
    Job* job, const Samples* samples, Index begin, Index rows, Tally* tallies, bint gathered,
) noexcept nogil:
    """Loss and hits of this thread's part of samples begin ... begin + rows."""
    cdef Index chunk = job.settings.chunk
    if job.settings.narrow:
        narrow_tallies(job, samples, begin // chunk, (begin + rows + chunk - 1) // chunk, tallies, gathered)
    else:
        wide_rows(job, samples, begin, rows, tallies, units_before(job, begin), False)


cdef bint validate(Job* job, const Samples* samples, Position* now, Tally* total, bint gathered) noexcept nogil:
    """Loss and hits of all `samples`, forward only; False: abandoned.

    If it takes long, it pauses: now.validated is less than all samples, and the next call goes on from there. The first
    thread decides a turn ahead, so that all threads read its decision after a meeting.
    """
    cdef Tally* tallies = <Tally*> (job.tallies + job.settings.validation_at)
    cdef Index turn = job.settings.chunk * (NARROW_TURN if job.settings.narrow else 1)
    cdef Index begin = now.validated, rows
    cdef int64_t begun = nanoseconds()
    cdef bint pauses = False
    while begin < samples.rows and not pauses:
        rows = min(turn, samples.rows - begin)
        validate_turn(job, samples, begin, rows, tallies, gathered)
        if job.thread == 0 and not now.diverged and nanoseconds() - begun > PAUSES:
            if shared_load(&job.control[PAUSE_AFTER]) < begin:
                shared_store(&job.control[PAUSE_AFTER], begin + turn)
        if not meet(job):       # another thread may take these rows of the workspace for the next turn
            return False
        pauses = begin > 0 and shared_load(&job.control[PAUSE_AFTER]) == begin
        begin += rows
    now.validated = begin
    if begin == samples.rows:
        total[0] = sum_of_tallies(tallies, validation_tallies(job, samples.rows))
    return True


cdef double rate_of(const Job* job, const Position* now) noexcept nogil:
    """The learning rate of the next step."""
    cdef int64_t epoch = now.epoch - job.settings.first_epoch, rates = job.settings.rates_per_epoch
    return job.rates[epoch * rates + (now.batch if rates > 1 else 0)]


cdef inline bint is_noted(const Settings* settings, int64_t epoch) noexcept nogil:
    """Whether the layers' norms of an epoch are noted: often enough to see them change, and at next to no cost."""
    return settings.notes > 0 and (epoch < settings.note_first or epoch % settings.note_every == 0)


cdef void note_activations(const Job* job, const Position* now, Index rows) noexcept nogil:
    """Write down the root mean squares of the layers' outputs over a batch of `rows`.

    Before the step's second barrier: after it other threads begin to sum those of the next batch.
    """
    cdef Index number, part, parts = tallies_of(job, rows)
    cdef double squares
    for number in range(job.n_layers):
        squares = 0
        for part in range(parts):
            squares += noted_squares(job, part)[number]
        job.layer_record[(job.n_layers + number) * job.settings.notes + now.noted] = (
            sqrt(squares / (rows * job.layers[number].outputs)))


cdef inline bint is_questioned(const Settings* settings, Position* now, double loss, Index rows) noexcept nogil:
    """Whether a finite loss, summed over rows, is far above the first one, which sets the limit of a mean.

    Python answers between two calls.
    """
    if now.loss_limit == 0 and loss < INFINITY:
        now.loss_limit = settings.loss_growth * (loss / rows + 1)
    if loss < INFINITY and loss * settings.loss_growth <= now.loss_limit * settings.usable_growth * rows:
        now.usable = now.step
    if now.questioned < 0 or not (0 < now.loss_limit * rows < loss < INFINITY):
        return False
    now.questioned = loss / rows
    return True


cdef bint step_once(Job* job, const Samples* samples, Position* now, Step* step, bint gathered) noexcept nogil:
    """One batch: gradient and update, or no update if the loss is not finite or questioned. False: abandoned."""
    cdef const Settings* settings = job.settings
    cdef Index first = now.batch * settings.batch, rows = min(settings.batch, samples.rows - first)
    cdef BatchPart chunk = last_chunk(job, first, rows)
    cdef bint ends_epoch = first + rows == samples.rows
    cdef Tally tally
    cdef double loss, penalty, weight = own_weight(job, samples, first, rows)
    job.epoch = now.epoch
    job.noting = ends_epoch and is_noted(settings, now.epoch)
    if not batch_gradient(job, samples, first, rows, gathered):
        return False
    tally = sum_of_tallies(<Tally*> job.tallies, tallies_of(job, rows))
    if job.noting and job.thread == 0:
        note_activations(job, now, rows)
    penalty = total_penalty(job, now.step) * penalty_scale(settings, weight)
    if weight > 0:      # a batch without weight has no mean loss
        loss = tally.loss * settings.loss_share * (rows / weight) + penalty * rows
        if is_questioned(settings, now, loss, rows):
            return True
        now.loss_sum += loss
        now.loss_rows += rows
    now.hits += tally.hits
    if not isfinite(tally.loss + penalty) or now.questioned < 0:
        now.diverged = 1
        return True
    set_step(step, settings, now, weight, rate_of(job, now))
    step.keep_gradient = ends_epoch or settings.clip_norm > 0
    update_parameters(job, samples, &chunk, now, step,
                      FROZEN if settings.clip_norm > 0 else <int> settings.optimizer)
    if not apply_norms(job, now, step):
        return False
    now.step += 1
    now.beta1_power *= beta1_of(settings, now.step)
    now.beta2_power *= settings.beta2
    return meet(job)


cdef bint apply_norms(Job* job, const Position* now, Step* step) noexcept nogil:
    """Clip the gradient's norm and then take the step; limit the units' norms. Each if asked for. False: abandoned."""
    cdef const Settings* settings = job.settings
    if settings.clip_norm > 0:
        if not meet(job):
            return False
        clipped_update(job, now, step)
    if settings.max_norm > 0:
        if not meet(job):
            return False
        limit_weights(job)
        if penalized(job):
            if not meet(job):
                return False
            find_penalties(job, now.step + 1, job.first_slab, job.end_slab)
    return True


cdef void note_gradients(const Job* job, const Position* now) noexcept nogil:
    """Write down the norms of the layers' gradients at an epoch's last step."""
    cdef Index number
    for number in range(job.n_layers):
        job.layer_record[number * job.settings.notes + now.noted] = norm_of_gradient(job, number)


cdef bint end_epoch(Job* job, const Samples* validation, Position* now, bint gathered) noexcept nogil:
    """Write the record of the epoch, validate, and go to the next epoch, unless it pauses. False: abandoned."""
    cdef const Settings* settings = job.settings
    cdef Tally tally
    if job.thread == 0:
        epoch_number(job, EPOCH_LOSS, now.epoch)[0] = now.loss_sum / now.loss_rows if now.loss_rows > 0 else 0.0
        epoch_number(job, EPOCH_ACCURACY, now.epoch)[0] = now.hits / settings.rows
        epoch_number(job, EPOCH_GRADIENT_NORM, now.epoch)[0] = (
            NAN if now.diverged else norm_of_gradient(job, ALL_LAYERS))
        if job.noting and not now.diverged:
            note_gradients(job, now)
    if validation.rows > 0:
        if not validate(job, validation, now, &tally, gathered):
            return False
        if now.validated < validation.rows:
            return True
        if job.thread == 0:
            epoch_number(job, EPOCH_VAL_LOSS, now.epoch)[0] = (
                tally.loss * settings.loss_share / validation.rows
                + total_penalty(job, now.step) * penalty_scale(settings, settings.rows))
            epoch_number(job, EPOCH_VAL_ACCURACY, now.epoch)[0] = tally.hits / validation.rows
    if job.noting and not now.diverged:
        now.noted += 1
    now.epoch += 1
    now.batch = now.validated = 0
    now.loss_sum = now.hits = now.loss_rows = 0
    return True


cdef inline bint begin_epoch(Job* job, Samples* ordered, const Samples* samples, const Position* now) noexcept nogil:
    """Make or find the order of the epoch under way, if it needs one. False: abandoned."""
    cdef const Settings* settings = job.settings
    if now.batch == 0 and settings.shuffle and settings.given_orders == 0:
        if job.thread == 0:
            shuffle_rows(job.order, settings.seed, now.epoch, samples.rows)
        if not meet(job):
            return False
    if settings.given_orders > 1:
        ordered.order = job.order + (now.epoch - settings.first_epoch) % settings.given_orders * samples.rows
    return True


cdef void run_steps(Job* job, const Samples* samples, const Samples* validation, Index steps) noexcept nogil:
    """At most `steps` steps from job.position on; threads meet at the end, or leave if the call is abandoned."""
    cdef const Settings* settings = job.settings
    cdef Position now = job.position[0]
    cdef Step step = settled_step(settings)
    cdef Samples ordered = samples[0]
    cdef bint laid_out = False, validation_laid_out = False
    if job.thread == 0:
        find_penalties(job, now.step, 0, job.n_slabs)
    while steps > 0 and now.epoch < settings.epochs and not now.diverged:
        if now.batch * settings.batch < samples.rows:       # else the epoch's validation was paused, and goes on
            if not begin_epoch(job, &ordered, samples, &now) or not step_once(job, &ordered, &now, &step, laid_out):
                return
            if now.questioned > 0:
                break
            laid_out = True
            now.batch += 1
        if now.batch * settings.batch >= samples.rows or now.diverged:
            if not end_epoch(job, validation, &now, validation_laid_out):
                return
            if now.validated > 0:
                break
            validation_laid_out = True
        steps -= 1
    # Other threads may still read the position: it is written when all have arrived.
    if meet(job) and job.thread == 0:
        job.position[0] = now
        job.control[CALL_STEPS] = 0


cdef double objective_of(Job* job, const Samples* samples) noexcept nogil:
    # job.gradient (parameters,)
    """The gradient of the objective over all samples, penalty included; returns the objective. For one thread."""
    cdef Index rows = samples.rows
    cdef BatchPart chunk = last_chunk(job, 0, rows)
    cdef Position start
    cdef Step step = settled_step(job.settings)
    cdef Tally total
    memset(&start, 0, sizeof(Position))
    find_penalties(job, 0, 0, job.n_slabs)
    batch_gradient(job, samples, 0, rows, False)
    total = sum_of_tallies(<Tally*> job.tallies, tallies_of(job, rows))
    step.keep_gradient = True
    set_step(&step, job.settings, &start, rows, 0)
    update_parameters(job, samples, &chunk, &start, &step, FROZEN)
    return total.loss * job.settings.loss_share / rows + total_penalty(job, 0)
