#!/usr/bin/env bash
# The challenge's evaluation: encode, decode and compare each WAV of a folder (default: data), then print the ratios.
#   ./eval.sh [FOLDER]        all files in two processes, one that compresses and one that restores
#   ./eval.sh --each [FOLDER] ./encode and ./decode for every file, as the challenge does (about two seconds a file)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
each=no
if [ "${1:-}" = --each ]; then each=yes; shift; fi
data=${1:-data}
[ -d "$data" ] || { echo "eval.sh: $data is not a folder; give the folder of the challenge's WAV files" >&2; exit 2; }
python=$here/env/bin/python
[ -x "$python" ] || python=python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
home=$(basename "$(cd "$data" && pwd)")  # outputs of a folder lie under its own name

if [ "$each" = yes ]; then
    find "$data" -name '*.wav' | sort | while read -r file; do
        name=$(basename "${file%.wav}")
        below=$(dirname "${file#"${data%/}"/}")
        mkdir -p "$work/packed/$home/$below" "$work/restored/$home/$below"
        "$here/encode" "$file" "$work/packed/$home/$below/$name.spky"
        "$here/decode" "$work/packed/$home/$below/$name.spky" "$work/restored/$home/$below/$name.wav"
    done
else
    "$python" "$here/cli.py" compress --preset balanced --no-verify --jobs 2 "$data/" "$work/packed/"
    "$python" "$here/cli.py" decompress --jobs 2 "$work/packed/" "$work/restored/"
fi

size() { find "$@" -type f -print0 | xargs -0 cat | wc -c; }
find "$data" -name '*.wav' | sort | while read -r file; do
    cmp "$file" "$work/restored/$home/${file#"${data%/}"/}" || { echo "eval.sh: $file was not restored" >&2; exit 1; }
done
original=$(size "$data" -name '*.wav')
packed=$(size "$work/packed")
executables=$(size "$here/encode" "$here/decode")
# All that this project needs to decode and encode: code, tables, calibrations and models. Its dependencies are not counted.
everything=$(size "$here/encode" "$here/decode" "$here/cli.py" "$here/src/spikey" ! -path '*__pycache__*' ! -name '*.pyc')
awk -v o="$original" -v p="$packed" -v x="$executables" -v e="$everything" 'BEGIN {
    printf "all recordings recovered: %d bytes as %d\n", o, p
    printf "ratio by the rules of the challenge (recordings and the two executables, %d bytes): %.4f\n", x, o / (p + x)
    printf "honest ratio (recordings, all code, tables and models, %d bytes): %.4f\n", e, o / (p + e)
    printf "ratio of the recordings alone: %.4f\n", o / p
}'
