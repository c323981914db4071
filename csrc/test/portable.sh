#!/usr/bin/env bash
# Compiles every C file that does without Python for each system whose compiler is here, a warning being
# an error, and runs the tests of those systems that can be run here. Says what it left out.
#
#   portable.sh [NAME]...     by name: gcc, clang, musl, aarch64, s390x, windows, or a target of zig
#
# apt: clang musl-tools gcc-aarch64-linux-gnu gcc-s390x-linux-gnu gcc-mingw-w64-x86-64 qemu-user wine;
# pip: ziglang.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")" || exit
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
strict=(-std=c11 -D_GNU_SOURCE "-I$PWD/.." -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
tests=(table ring arena nearest stored kernels)
failed=0 skipped=()

# Those that include Python.h, the pieces of files that are included twice, and the ones for POSIX alone.
mapfile -t alone < <(grep -L 'include.*[<"]Python.h' "$PWD"/../*.[ch] "$PWD"/../*/*.[ch] \
    | grep -v -E '/\.\./((test|walk)/|target\.h)|/entry/(arenas|dict)\.h|/distance/(plain|strip)\.h|/panel/(copy|share|sift)\.h')

wanted() { ((!${#names[@]})) || [[ " ${names[*]} " == *" $1 "* ]]; }

compile_all() { # NAME COMPILER...
    local name=$1
    shift
    if (cd "$build" && "$@" "${strict[@]}" -Wno-unused -O1 -x c -c "${alone[@]}"); then
        echo "$name: ${#alone[@]} files compiled"
    else
        failed=1
        echo "$name: FAILED to compile"
    fi
}

run_tests() { # NAME RUNNER COMPILER...
    local name=$1 runner=$2 each sources
    shift 2
    for each in "${tests[@]}"; do
        sources=("test_$each.c")
        [[ $each != kernels ]] || sources+=(../cpu.c ../distance/*.c ../panel/*.c ../sketch/*.c test_sketches.c)
        # shellcheck disable=SC2086 # a runner is a command or nothing
        if "$@" "${strict[@]}" -O2 "${sources[@]}" -o "$build/test.exe" -lm && $runner "$build/test.exe" > "$build/said"; then
            echo "$name: $each passed $(tail -n 1 "$build/said")"
        else
            failed=1
            echo "$name: $each FAILED"
        fi
    done
}

system() { # NAME RUNNER COMPILER...
    local name=$1 runner=$2
    wanted "$name" || return 0
    command -v "$3" > /dev/null || { skipped+=("$name (no $3)"); return 0; }
    compile_all "$name" "${@:3}"
    if [[ -n $runner ]] && ! command -v "$runner" > /dev/null; then
        skipped+=("tests on $name (no $runner)")
    else
        run_tests "$name" "$runner" "${@:3}"
    fi
}

names=("$@")
export WINEDEBUG=-all
system gcc "" gcc
system clang "" clang
system musl "" musl-gcc -static
system aarch64 qemu-aarch64 aarch64-linux-gnu-gcc -static
system s390x qemu-s390x s390x-linux-gnu-gcc -static
# Its isnan() narrows every double.
system windows wine x86_64-w64-mingw32-gcc -static -Wno-float-conversion
for target in x86_64-windows-gnu aarch64-windows-gnu x86_64-macos aarch64-macos aarch64-linux-musl \
    aarch64-linux-gnu.2.17; do
    wanted "$target" || continue
    if python3 -m ziglang version > /dev/null 2>&1; then
        compile_all "$target" python3 -m ziglang cc -target "$target"
    else
        skipped+=("$target (no ziglang)")
    fi
done
((!${#skipped[@]})) || printf 'left out: %s\n' "${skipped[@]}"
exit $failed
