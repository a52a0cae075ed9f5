# What `cmake --install` puts where: the library for C users with its headers, pkg-config file and
# CMake package. The component "python", which the wheel takes alone, is left out unless asked for.

file(GLOB headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/robocache/*.h")
list(APPEND headers "${PROJECT_BINARY_DIR}/include/robocache/version.h")

if(TARGET _core)
    install(TARGETS _core LIBRARY DESTINATION robocache COMPONENT python EXCLUDE_FROM_ALL)
endif()

include(CMakePackageConfigHelpers)
set(config_dir "${CMAKE_INSTALL_LIBDIR}/cmake/robocache")
install(TARGETS robocache EXPORT robocache LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/robocache)
install(FILES "${PROJECT_BINARY_DIR}/include/dlpack/dlpack.h"
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/robocache/vendor/dlpack)
install(EXPORT robocache NAMESPACE robocache:: FILE robocache-config.cmake
        DESTINATION ${config_dir})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/robocache-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/robocache-config-version.cmake" DESTINATION ${config_dir})
# Relative, so that the installed tree may be moved and --prefix may differ from configuration.
file(RELATIVE_PATH prefix_from_pc "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
configure_file("${PROJECT_SOURCE_DIR}/cmake/robocache.pc.in"
               "${PROJECT_BINARY_DIR}/robocache.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/robocache.pc"
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
