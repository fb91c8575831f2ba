# What the batch scripts share, to be sourced: `run_step COMMAND` runs COMMAND as the job's one step, all tasks at once.
#
# SLURM sends the batch script USR1 before the time limit (--signal=B:USR1@SECONDS). The script asks its step to stop;
# the step exits when it is in order, and the job is queued again if work is left. Where SLURM itself takes the job off
# its nodes (preempted, requeued, a node lost), SLURM queues it again. A job that fails or is canceled stays ended,
# whatever its status: srun's is the highest of its tasks', so one task that crashed hides behind others that stopped.
run_step() {
    local told='' status
    # From SLURM 22.05 on, srun does not take the number of CPUs from the job.
    srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=1 "$@" &
    trap 'told=yes; scancel --signal=TERM "$SLURM_JOB_ID.0"' USR1
    wait $!
    status=$?
    if [ -n "$told" ]; then  # the signal ended the first wait
        wait $!
        status=$?
        if [ "$status" -ne 0 ]; then
            scontrol requeue "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}"
        fi
    fi
    return "$status"
}
