# librobocache.so, which exports rbc_* alone, and a static library of the same objects through which
# the tests, the fuzz targets and the Python module also reach what is internal.

get_property(layers GLOBAL PROPERTY ROBOCACHE_LAYERS)
get_property(link_libraries GLOBAL PROPERTY ROBOCACHE_LINK)
list(REMOVE_DUPLICATES link_libraries)
list(APPEND link_libraries Threads::Threads m ${CMAKE_DL_LIBS})
list(TRANSFORM layers REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE layer_objects)

add_library(robocache_internal STATIC ${layer_objects})
target_include_directories(robocache_internal PUBLIC
    "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src" "${PROJECT_BINARY_DIR}/include")
target_link_libraries(robocache_internal PUBLIC ${link_libraries})
set_target_properties(robocache_internal PROPERTIES LINKER_LANGUAGE C)

set(export_map "${PROJECT_SOURCE_DIR}/cmake/robocache.map")
add_library(robocache SHARED ${layer_objects})
add_library(robocache::robocache ALIAS robocache)
target_include_directories(robocache PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/robocache/vendor>)
target_link_libraries(robocache PRIVATE ${link_libraries})
target_link_options(robocache PRIVATE "LINKER:--version-script=${export_map}" LINKER:--gc-sections)
if(NOT ROBOCACHE_SANITIZE)
    target_link_options(robocache PRIVATE LINKER:--no-undefined)
endif()
set_target_properties(robocache PROPERTIES
    LINKER_LANGUAGE C
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS "${export_map}")
