# gpu_tools.sh: the compilers of the GPU plug-ins: where they are, and how they come onto a machine that has
# none. Sourced by ./owm and by tests/tree/preset.sh; only `./owm test` fetches.

# NVIDIA's compiler without a CUDA installation: packages that belong together, 300 MB.
nvcc_packages=(
    nvidia-cuda-nvcc==13.0.88
    nvidia-nvvm==13.0.88
    nvidia-cuda-crt==13.0.88
    nvidia-cuda-runtime==13.0.96
    nvidia-cuda-cccl==13.0.85
)
nvcc_folder=build/tools/cuda

hip_packages=(hipcc libamdhip64-dev rocm-device-libs)

find_nvcc() { # prints its path; cmake/gpu.cmake looks in the same places
    local place
    command -v nvcc && return
    for place in "${CUDA_HOME:-/nowhere}" /usr/local/cuda "$nvcc_folder/nvidia/cu13"; do
        [ -x "$place/bin/nvcc" ] && printf '%s\n' "$place/bin/nvcc" && return
    done
    return 1
}

find_hipcc() { # prints its path, if the runtime to link with is there too
    local place
    for place in "$(command -v hipcc)" "${ROCM_PATH:-/opt/rocm}/bin/hipcc"; do
        [ -x "$place" ] && printf '%s\n' "$place" && return
    done
    return 1
}

fetch_nvcc() { # into the build folder; needs pip and a network
    local new=$nvcc_folder.new
    rm -rf "$new"
    mkdir -p "$new"
    python3 -m pip install --quiet --disable-pip-version-check --no-deps --no-input --timeout 30 --retries 2 \
        --target "$new" "${nvcc_packages[@]}" || return 1
    ln -s lib "$new/nvidia/cu13/lib64" # where nvcc's own profile looks
    "$new/nvidia/cu13/bin/nvcc" --version || return 1
    rm -rf "$nvcc_folder"
    mv "$new" "$nvcc_folder"
}

# gpu_compilers: afterwards they are there, or a line says why the plug-ins' tests are skipped.
gpu_compilers() {
    if [ "$install" = no ]; then
        find_nvcc >/dev/null || say "no nvcc: the test of the cuda plug-in will be skipped"
        find_hipcc >/dev/null || say "no hipcc: the test of the hip plug-in will be skipped"
        return 0
    fi
    if ! find_nvcc >/dev/null; then
        python3 -m pip --version >/dev/null 2>&1 || try_packages python3-pip
        watched "fetching nvcc (300 MB, once)" nvcc fetch_nvcc ||
            say "nvcc could not be fetched, so the test of the cuda plug-in will be skipped"
    fi
    find_hipcc >/dev/null || try_packages "${hip_packages[@]}"
    find_hipcc >/dev/null || say "no hipcc: the test of the hip plug-in will be skipped"
}

try_packages() { # what may be missing on this system's mirrors: a failure is a line, not the end
    command -v apt-get >/dev/null || return 0
    become_root "$@"
    watched "installing $*" gpu-packages apt_twice "$@" || say "they could not be installed: $*"
}
