# rbc_add_test(<name> <source>... [LINK <target>...] [LABELS <label>...] [TIMEOUT <seconds>])
#
# One cmocka executable, linked against the static internal library, and one CTest of that name.
# The test sees ROBOCACHE_TEST_DATA from the environment and RBC_SOURCE_DIR as a macro.
function(rbc_add_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LINK;LABELS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300)
    endif()
    add_executable(test_${name} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(test_${name} PRIVATE
        robocache_internal robocache_flags PkgConfig::CMOCKA ${arg_LINK})
    target_compile_definitions(test_${name} PRIVATE RBC_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    add_test(NAME ${name} COMMAND test_${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()

# rbc_add_fuzzer(<name> <source>... [LINK <target>...])
#
# A fuzz target: its sources define LLVMFuzzerTestOneInput. With ROBOCACHE_FUZZ it is a libFuzzer
# program, fuzz_<name>. Everywhere else it is a test that runs each file of fuzz/corpus/<name> once.
function(rbc_add_fuzzer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK")
    add_executable(fuzz_${name} ${arg_UNPARSED_ARGUMENTS} "${PROJECT_SOURCE_DIR}/fuzz/fuzz.c")
    target_link_libraries(fuzz_${name} PRIVATE robocache_internal robocache_flags ${arg_LINK})
    set(corpus "${PROJECT_SOURCE_DIR}/fuzz/corpus/${name}")
    if(ROBOCACHE_FUZZ)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
        add_test(NAME fuzz_${name} COMMAND fuzz_${name} -runs=0 "${corpus}")
    else()
        target_sources(fuzz_${name} PRIVATE "${PROJECT_SOURCE_DIR}/fuzz/replay.c")
        add_test(NAME fuzz_${name} COMMAND fuzz_${name} "${corpus}")
    endif()
    set_tests_properties(fuzz_${name} PROPERTIES TIMEOUT 300 LABELS fuzz)
endfunction()
