# rbc_layer(<name> SOURCES <file>... [LINK <target>...] [OPTIONS <compiler option>...])
#
# Adds the object library rbc_<name>, which becomes part of librobocache. LINK names the libraries
# its sources call; OPTIONS are compiler options for this layer alone, such as the flags of an ISA.
# A folder may add more than one (rbc_layer(cpu ...), rbc_layer(cpu_avx2 ...)).
function(rbc_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK;OPTIONS")
    if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
        message(FATAL_ERROR "rbc_layer(${name}): expected SOURCES, got '${arg_UNPARSED_ARGUMENTS}'")
    endif()
    add_library(rbc_${name} OBJECT ${arg_SOURCES})
    target_include_directories(rbc_${name} PUBLIC
        "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src" "${PROJECT_BINARY_DIR}/include")
    target_compile_definitions(rbc_${name} PRIVATE RBC_BUILDING)
    target_compile_options(rbc_${name} PRIVATE ${arg_OPTIONS})
    target_link_libraries(rbc_${name} PRIVATE robocache_flags ${arg_LINK})
    set_property(GLOBAL APPEND PROPERTY ROBOCACHE_LAYERS rbc_${name})
    set_property(GLOBAL APPEND PROPERTY ROBOCACHE_LINK ${arg_LINK})
endfunction()
