# nvcc, and rbc_cuda_images(), which embeds compiled kernels.
#
# ROBOCACHE_CUDA=ON compiles the kernels, and it is an error not to find an nvcc. AUTO does so where
# there are both an nvcc and a GPU; OFF never. Without kernels the library says so when it is asked to
# work on CUDA tensors.
#
# ROBOCACHE_NVCC is the compiler: what the user sets it to, nvcc of the PATH or of CUDA_HOME, or the one
# that requirements/cuda.txt installs into the Python environment.

# "90" is code for that architecture, "80-virtual" PTX for it and later.
set(ROBOCACHE_CUDA_ARCHITECTURES 80 86 89 90 100 120 120-virtual CACHE STRING
    "CUDA architectures to compile for, NN or NN-virtual")

set(wanted "${ROBOCACHE_CUDA}")
if(wanted STREQUAL "AUTO" AND NOT EXISTS /dev/nvidiactl)
    set(wanted OFF)
endif()
if(wanted)
    execute_process(
        COMMAND "${Python_EXECUTABLE}" -c "
import importlib.util, pathlib
spec = importlib.util.find_spec('nvidia')
for root in (spec.submodule_search_locations or []) if spec else []:
    print(*pathlib.Path(root).glob('cu[0-9]*/bin'), sep=';', end=';')
"
        OUTPUT_VARIABLE python_nvcc OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    find_program(ROBOCACHE_NVCC nvcc HINTS ENV CUDA_HOME PATH_SUFFIXES bin PATHS ${python_nvcc}
                 /usr/local/cuda/bin)
    if(NOT ROBOCACHE_NVCC)
        set(ROBOCACHE_NVCC "")
        if(ROBOCACHE_CUDA STREQUAL "ON")
            message(FATAL_ERROR "ROBOCACHE_CUDA=ON, and no nvcc was found: "
                                "${Python_EXECUTABLE} -m pip install -r requirements/cuda.txt, or "
                                "set ROBOCACHE_NVCC")
        endif()
    endif()
endif()
set(ROBOCACHE_HAS_KERNELS OFF)
if(wanted AND ROBOCACHE_NVCC)
    set(ROBOCACHE_HAS_KERNELS ON)
    message(STATUS "CUDA kernels: ${ROBOCACHE_NVCC}, for ${ROBOCACHE_CUDA_ARCHITECTURES}")
else()
    message(STATUS "CUDA kernels: none")
endif()

# rbc_cuda_images(<target> <folder>/<name>.cu...)
#
# Compiles each source, named from the current folder, into a fat binary for all architectures, not
# compressed, and adds it to <target> as the symbol rbc__cuda_image_<name>. What ptxas says of the
# kernels' registers and spills is kept in <name>.ptxas, for bench/kernel_resources.py.
function(rbc_cuda_images target)
    set(gencode "")
    foreach(architecture IN LISTS ROBOCACHE_CUDA_ARCHITECTURES)
        string(REPLACE "-virtual" "" number "${architecture}")
        if(architecture MATCHES "-virtual$")
            list(APPEND gencode -gencode "arch=compute_${number},code=compute_${number}")
        else()
            list(APPEND gencode -gencode "arch=compute_${number},code=sm_${number}")
        endif()
    endforeach()
    foreach(file IN LISTS ARGN)
        get_filename_component(name "${file}" NAME_WE)
        set(image "${CMAKE_CURRENT_BINARY_DIR}/${name}.fatbin")
        set(kernels "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
        add_custom_command(
            OUTPUT "${image}"
            # No contraction of a * b + c: results are those of the CPU.
            COMMAND sh -c "\"$@\" 2>${name}.ptxas || { cat ${name}.ptxas >&2; exit 1; }" sh
                    "${ROBOCACHE_NVCC}" -fatbin -std=c++17 -fmad=false --compress-mode=none
                    -Werror all-warnings -Xptxas -v ${gencode} -I "${PROJECT_SOURCE_DIR}/src"
                    -MD -MF "${image}.d" -MT "${image}" -o "${image}" "${kernels}"
            BYPRODUCTS "${CMAKE_CURRENT_BINARY_DIR}/${name}.ptxas"
            WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
            DEPENDS "${kernels}"
            DEPFILE "${image}.d"
            COMMENT "Compiling CUDA kernels ${name}"
            VERBATIM)
        set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}.S")
        file(CONFIGURE OUTPUT "${source}" CONTENT [[
/* A fat binary as the symbol rbc__cuda_image_@name@. */
    .section .rodata
    .balign 64
    .globl rbc__cuda_image_@name@
    .hidden rbc__cuda_image_@name@
    .type rbc__cuda_image_@name@, %object
rbc__cuda_image_@name@:
    .incbin "@image@"
    .size rbc__cuda_image_@name@, . - rbc__cuda_image_@name@
    .section .note.GNU-stack, "", %progbits
]] @ONLY)
        set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${image}")
        target_sources(${target} PRIVATE "${source}")
    endforeach()
endfunction()
