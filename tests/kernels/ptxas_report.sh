#!/usr/bin/env bash
# ptxas_report.sh: what the GPU compilers said of each kernel, as a table: architecture, registers,
# spills (CUDA: bytes, HIP: vector registers), bytes of shared memory. Fails on a spill for NVIDIA, for which
# the kernels are written; for AMD the table tells.
set -euo pipefail
folder=$1
shopt -s nullglob
files=("$folder"/*.txt)
[ ${#files[@]} -gt 0 ] || { echo "$folder holds no reports"; exit 1; }

# Names as people write them, where a demangler is there.
names() { if command -v c++filt >/dev/null; then c++filt; else cat; fi; }

printf '%-14s %-8s %9s %6s %7s  %s\n' file arch registers spill shared kernel
awk '
    function row() { if (kernel != "") printf "%-14s %-8s %9d %6d %7d  %s\n", file, arch, regs, spill,
                                              shared, kernel
                     if (kernel != "" && spill > 0 && arch ~ /^sm/) spilled++
                     kernel = ""; regs = spill = shared = 0 }
    FNR == 1 { row(); file = FILENAME; sub(/.*\//, "", file); sub(/\.txt$/, "", file) }
    # CUDA: ptxas -v.
    /Compiling entry function/ { row(); split($0, q, "\047"); kernel = q[2]; arch = q[4] }
    /bytes spill stores/ && kernel != "" {
        for (i = 1; i < NF; i++) if ($(i + 1) == "bytes" && $(i + 2) == "spill") spill += $i }
    /Used [0-9]+ registers/ && kernel != "" {
        for (i = 1; i < NF; i++) {
            if ($(i + 1) ~ /^registers/) regs = $i
            if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i } }
    # HIP: -Rpass-analysis=kernel-resource-usage. It does not name the architecture on the line.
    /remark: Function Name:/ { row(); for (i = 1; i <= NF; i++) if ($i == "Name:") kernel = $(i + 1); arch = "gfx" }
    /remark: +VGPRs:/ { for (i = 1; i <= NF; i++) if ($i == "VGPRs:") regs = $(i + 1) }
    /remark: +VGPRs Spill:/ { for (i = 1; i <= NF; i++) if ($i == "Spill:") spill += $(i + 1) }
    /remark: +LDS Size/ { for (i = 1; i <= NF; i++) if ($i == "[bytes/block]:") shared = $(i + 1) }
    END { row(); exit spilled > 0 }
' "${files[@]}" | names
echo "${#files[@]} files"
