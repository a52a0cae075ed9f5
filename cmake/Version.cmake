# The file VERSION is the one place where the version is written; version.h is made from it.

configure_file("${CMAKE_CURRENT_LIST_DIR}/version.h.in"
               "${PROJECT_BINARY_DIR}/include/robocache/version.h" @ONLY)
