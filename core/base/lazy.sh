#!/bin/sh
# Writes the assembly of lazy.h for x86-64: lazy.sh CC LIBRARY... -- OBJECT... >lazy.S
# A function's stub jumps through its slot. At first the slot leads to the line that pushes its number and goes to the
# library's resolver, which saves what the caller passes in registers, asks lazy_resolve() and jumps to the function.
set -e
cc=$1
shift
libs=
while [ "$1" != -- ]; do
    libs="$libs $1"
    shift
done
shift
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
nm -u "$@" 2>/dev/null | awk 'NF == 2 { print $2 }' | sort -u >"$t/used"
echo '/* Written by core/base/lazy.sh. */'
for lib in $libs; do
    so=$($cc -print-file-name="lib$lib.so")
    soname=$(objdump -p "$so" 2>/dev/null | awk '$1 == "SONAME" { print $2 }')
    [ -n "$soname" ] || continue # the linker says what is missing
    nm -D --defined-only "$so" | awk '$2 == "T" || $2 == "W" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$t/has"
    comm -12 "$t/used" "$t/has" >"$t/both"
    comm -23 "$t/used" "$t/both" >"$t/rest" && mv "$t/rest" "$t/used" # one library gives each
    awk -v lib="$(echo "$lib" | tr -- -. __)" -v soname="$soname" '
        { f[n++] = $1 }
        END {
            print ".text"
            for (i = 0; i < n; i++) {
                printf ".globl %s\n.hidden %s\n.type %s, @function\n", f[i], f[i], f[i]
                printf "%s:\n endbr64\n jmp *slot_%s+%d(%%rip)\n", f[i], lib, 8 * i
                printf "first_%s_%d:\n pushq $%d\n jmp resolve_%s\n", lib, i, i, lib
            }
            printf "resolve_%s:\n", lib
            print " .cfi_startproc\n .cfi_adjust_cfa_offset 8"
            split("rax rdi rsi rdx rcx r8 r9 r10", reg, " ")
            for (i = 1; i <= 8; i++) printf " pushq %%%s\n .cfi_adjust_cfa_offset 8\n", reg[i]
            print " subq $128, %rsp\n .cfi_adjust_cfa_offset 128"
            for (i = 0; i < 8; i++) printf " movups %%xmm%d, %d(%%rsp)\n", i, 16 * i
            # 8 registers, the number and the return address: the stack is a multiple of 16 again
            printf " movq 192(%%rsp), %%rsi\n leaq library_%s(%%rip), %%rdi\n call lazy_resolve@PLT\n", lib
            printf " movq 192(%%rsp), %%rsi\n leaq slot_%s(%%rip), %%rdi\n movq %%rax, (%%rdi,%%rsi,8)\n movq %%rax, %%r11\n", lib
            for (i = 0; i < 8; i++) printf " movups %d(%%rsp), %%xmm%d\n", 16 * i, i
            print " addq $128, %rsp\n .cfi_adjust_cfa_offset -128"
            for (i = 8; i >= 1; i--) printf " popq %%%s\n .cfi_adjust_cfa_offset -8\n", reg[i]
            print " addq $8, %rsp\n .cfi_adjust_cfa_offset -8\n jmp *%r11\n .cfi_endproc"
            printf ".section .rodata\nsoname_%s: .string \"%s\"\n", lib, soname
            for (i = 0; i < n; i++) printf "name_%s_%d: .string \"%s\"\n", lib, i, f[i]
            printf ".section .data.rel.ro, \"aw\"\n.balign 8\nlibrary_%s: .quad soname_%s, names_%s\nnames_%s:\n", lib, lib, lib, lib
            for (i = 0; i < n; i++) printf " .quad name_%s_%d\n", lib, i
            printf ".data\n.balign 8\nslot_%s:\n", lib
            for (i = 0; i < n; i++) printf " .quad first_%s_%d\n", lib, i
        }' "$t/both"
done
echo '.section .note.GNU-stack, "", @progbits'
