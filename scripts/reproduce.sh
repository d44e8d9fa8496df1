#!/usr/bin/env bash
# One experiment of conf/experiment/: run what is missing of it, grade, report, compare with what was published.
#
#   scripts/reproduce.sh NAME [jobs=N] [dry_run=true] [report=false] [key=value ...]
#
# jobs=N: so many processes share a sweep, each on the next GPU, or with its part of the cores. report=false: the sweep alone, for a
# machine whose time is dear, or that is to be left soon. All other keys go to every run, such as model.path=DIR
# data_dir=DIR num_samples=2 max_tokens=64 engine=graphs. The same command again goes on where the last one stopped.
set -euo pipefail
experiments=$(cd "$(dirname "$0")/../conf/experiment" && ls -- *.yaml | sed 's/\.yaml$//' | grep -v _ratios)
name=${1:-}
if ! grep -qxF -- "$name" <<<"$experiments"; then
    echo "reproduce.sh: NAME=$name: use one of" $experiments >&2
    exit 2
fi
shift

jobs=1 runs_dir=runs/$name dry_run=false report=true overrides=()
for override in "$@"; do
    case $override in
        jobs=*) jobs=${override#*=} ;;
        runs_dir=*) runs_dir=${override#*=} ;;
        dry_run=*) dry_run=${override#*=} ;;
        report=*) report=${override#*=} ;;
        *) overrides+=("$override") ;;
    esac
done
if [[ $dry_run == true ]]; then jobs=1; fi
if ! [[ $jobs =~ ^[1-9][0-9]*$ ]]; then
    echo "reproduce.sh: jobs=$jobs: use 1 or more" >&2
    exit 2
fi

for key in dry_run report; do
    if [[ ${!key} != true && ${!key} != false ]]; then
        echo "reproduce.sh: $key=${!key}: use true or false" >&2
        exit 2
    fi
done

sweeps=("$name")
logs=$runs_dir/logs program=kvarena
if [[ $name == *_fidelity ]]; then program=kvarena-fidelity; fi
if [[ $name == pilot_embedded ]]; then sweeps+=(pilot_embedded_ratios); fi

gpus=()
if [[ -n ${CUDA_VISIBLE_DEVICES:-} ]]; then
    IFS=, read -ra gpus <<<"$CUDA_VISIBLE_DEVICES"
elif command -v nvidia-smi >/dev/null; then
    mapfile -t gpus < <(nvidia-smi --query-gpu=index --format=csv,noheader)
fi
# threads that wait for one another at every small step are slower than processes that do not
cores=$(getconf _NPROCESSORS_ONLN)
if ! ((${#gpus[@]})) && ((jobs > 1)); then
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > jobs ? cores / jobs : 1))}
fi

# a command that is stopped where this script is
run() {
    "$@" &
    local child=$! code=0
    trap 'kill '$child' 2>/dev/null; wait '$child'; exit 143' INT TERM
    wait "$child" || code=$?
    trap - INT TERM
    return $code
}

# INDEX: what one process does of the sweeps, on one of the GPUs; not 0 where a combination failed
share() {
    local sweep failed=0
    if ((${#gpus[@]})); then export CUDA_VISIBLE_DEVICES=${gpus[$1 % ${#gpus[@]}]}; fi
    for sweep in "${sweeps[@]}"; do
        run $program experiment="$sweep" runs_dir="$runs_dir" dry_run="$dry_run" share.index="$1" share.of="$jobs" \
            ${overrides[@]+"${overrides[@]}"} || failed=1
    done
    return $failed
}

# all shares, side by side: the first says how it goes, the others what they did
share_all() {
    local pids=() failed=0 index
    mkdir -p "$logs"
    share 0 &
    pids+=($!)
    for ((index = 1; index < jobs; index++)); do
        share "$index" >"$logs/$index.log" 2>&1 &
        pids+=($!)
    done
    trap 'kill $(jobs -p) 2>/dev/null; wait; exit 143' INT TERM
    for index in "${!pids[@]}"; do
        wait "${pids[index]}" || failed=1
        if ((index)); then grep -A 1000 "^sweep of\|^kvarena: " "$logs/$index.log" || true; fi
    done
    return $failed
}

status=0
case $name in
    throughput_*)
        timed=(kvarena-benchmark experiment="$name" output="$runs_dir/benchmark.csv" ${overrides[@]+"${overrides[@]}"})
        # the whole decode that checks what the others are extrapolated to
        whole=(hydra.mode=RUN experiment="$name" output="$runs_dir/benchmark.csv")
        for override in ${overrides[@]+"${overrides[@]}"}; do
            [[ $override =~ ^(method|compression\.tokens|positions|steps)= ]] || whole+=("$override")
        done
        whole=(kvarena-benchmark "${whole[@]}" method=vase_attnv compression.tokens=4096 'positions=[256]' steps=16384)
        run "${timed[@]}" dry_run="$dry_run"
        run "${whole[@]}" dry_run="$dry_run"
        if [[ $dry_run == false ]]; then python3 -m kvarena.analysis.studies.throughput "$runs_dir/benchmark.csv"; fi
        ;;
    *)
        if ((jobs == 1)); then share 0 || status=1; else share_all || status=1; fi
        if [[ $dry_run == false && $report == true ]]; then
            kvarena-grade "$runs_dir" --ungraded
            kvarena-report "$runs_dir" --archive "$runs_dir/report/runs.tar.xz"
            if [[ $name == pilot_embedded ]]; then python3 -m kvarena.analysis.studies.pilot "$runs_dir"; fi
        fi
        ;;
esac
exit "$status"
