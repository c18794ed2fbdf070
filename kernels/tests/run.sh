#!/usr/bin/env bash
# Build the kernels with their tests and run them: `run.sh WAY`, where WAY is
#
#   native    with $CC, or else the first of cc, gcc and clang
#   gcc       with gcc, for this machine
#   clang     with clang, for this machine
#   sanitize  like native, with the address and the undefined-behaviour sanitizer
#   simde     the x86 backends through SIMDe, which any CPU can run
#   neon      the NEON backend, cross-compiled, in an emulator
#
# Warnings are errors. Prints SKIP and the reason where a tool is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

way=${1:-}
out=../build/tests/$way
strict=(-std=c11 -Wall -Wextra -Werror -I.)
extra=() # flags of this way of testing
link=(-lm)
cpu=cpu.c
backends=() # those that must run; none: all that can
run=()

skip() {
    echo "SKIP C tests ($way): $1"
    exit 0
}

need() { command -v "$1" >/dev/null || skip "$1 is not installed"; }

links() { echo 'int main(void) { return 0; }' | "$@" -x c -o /dev/null - 2>/dev/null; }

choose_compiler() {
    for cc in ${CC:-cc gcc clang}; do
        if command -v "$cc" >/dev/null; then return; fi
    done
    skip "there is no C compiler"
}

case $way in
native) choose_compiler ;;
gcc | clang)
    need "$way"
    cc=$way
    ;;
sanitize)
    choose_compiler
    # -O1 last: the traces stay readable.
    extra=(-g -fsanitize=address,undefined -fno-sanitize-recover=all -O1)
    link+=("${extra[@]}")
    links "$cc" "${extra[@]}" || skip "$cc has no sanitizer libraries"
    ;;
simde)
    choose_compiler
    echo '#include <simde/x86/avx512.h>' | "$cc" -fsyntax-only -x c - 2>/dev/null ||
        skip "the SIMDe headers are not installed (Debian: libsimde-dev)"
    extra=(-Itests/simde -Wno-psabi -O2)
    cpu=tests/simde/cpu.c
    backends=(sse41 avx2 avx512 avx512vnni)
    ;;
neon)
    cc=aarch64-linux-gnu-gcc
    need $cc
    need qemu-aarch64
    run=(qemu-aarch64)
    link+=(-static)
    backends=(neon)
    ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' tests/run.sh
    exit 2
    ;;
esac

# Print the commands that compile everything, one a line.
compile_commands() {
    local have="" isa macro flags common source
    while read -r isa macro flags; do
        case $isa in '' | \#*) continue ;; all) common=$flags && continue ;; esac
        if [[ $way == simde ]]; then
            [[ $isa == neon ]] && continue
            [[ $isa == scalar ]] || flags=""
        elif ! $cc $flags -dM -E -x c /dev/null 2>/dev/null | grep -w "$macro" >/dev/null; then
            continue
        fi
        [[ $isa == scalar ]] || have+=" -DHALP_HAVE_${isa^^}"
        echo "$cc ${strict[*]} $common $flags ${extra[*]} -c backend_$isa.c -o $out/backend_$isa.o"
    done <flags.txt
    for source in $(ls *.c | grep -v -e '^backend_' -e '^cpu.c$') $cpu tests/*.c; do
        echo "$cc ${strict[*]} $common $have ${extra[*]} -c $source -o $out/$(basename "$source" .c).o"
    done
}

# Build again if a source or a flag has changed.
mkdir -p "$out"
compile_commands >"$out/commands"
if ! cmp -s "$out/commands" "$out/built" || [[ $(find . -newer "$out/built" -type f) ]]; then
    rm -f "$out"/*.o "$out/built"
    touch "$out/started"
    xargs -P "$(getconf _NPROCESSORS_ONLN)" -I{} sh -c {} <"$out/commands"
    $cc "$out"/*.o "${link[@]}" -o "$out/test"
    cp "$out/commands" "$out/built"
    touch -r "$out/started" "$out/built"
fi

echo "C tests ($way, $($cc --version | head -n 1)):"
"${run[@]}" "$out/test" "${backends[@]}"
