# Language level, warnings, sanitizers and launchers that every target of the project shares.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_COLOR_DIAGNOSTICS ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or RelWithDebInfo" FORCE)
endif()

find_program(CCACHE_PROGRAM ccache)
mark_as_advanced(CCACHE_PROGRAM)
if(CCACHE_PROGRAM AND NOT CMAKE_C_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

add_library(robocache_flags INTERFACE)
target_compile_options(robocache_flags INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wundef -Wvla -Wpointer-arith -Wcast-qual -Wformat=2 -Wno-format-nonliteral
    -Wstrict-prototypes -Wmissing-prototypes
    # Results must not depend on whether an ISA has fused multiply-add.
    -ffp-contract=off
    $<$<BOOL:${ROBOCACHE_WERROR}>:-Werror>
    $<$<CONFIG:Release>:-fstack-protector-strong>)

if(ROBOCACHE_SANITIZE)
    add_compile_options(-fsanitize=${ROBOCACHE_SANITIZE} -fno-omit-frame-pointer
                        -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${ROBOCACHE_SANITIZE})
else()
    # Ubuntu's compilers define it on their own, hence undefined first.
    target_compile_options(robocache_flags INTERFACE
        $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
endif()
if(ROBOCACHE_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "ROBOCACHE_FUZZ needs clang (libFuzzer), found "
                            "${CMAKE_C_COMPILER_ID}: use the preset 'fuzz', or CC=clang-19")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
endif()
