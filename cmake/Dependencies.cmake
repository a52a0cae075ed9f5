# Libraries and headers the project is built against. A missing one names the package that has it.

find_package(PkgConfig)
if(NOT PKG_CONFIG_FOUND)
    message(FATAL_ERROR "pkg-config was not found: apt-get install pkg-config")
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

set(robocache_missing "")

function(robocache_require module pkg_config_name apt_package)
    pkg_check_modules(${module} QUIET IMPORTED_TARGET GLOBAL ${pkg_config_name})
    if(NOT ${module}_FOUND)
        list(APPEND robocache_missing "${apt_package}")
        set(robocache_missing "${robocache_missing}" PARENT_SCOPE)
    endif()
endfunction()

robocache_require(JANSSON jansson libjansson-dev)
robocache_require(TURBOJPEG libturbojpeg libturbojpeg0-dev)
robocache_require(SPNG spng libspng-dev)
robocache_require(AVCODEC "libavcodec>=59" libavcodec-dev)
robocache_require(DEFLATE libdeflate libdeflate-dev)
robocache_require(ISAL libisal libisal-dev)
robocache_require(JXL libjxl libjxl-dev)
robocache_require(LZ4 liblz4 liblz4-dev)
robocache_require(LZF liblzf liblzf-dev)
robocache_require(SNAPPY snappy libsnappy-dev)
robocache_require(SQLITE sqlite3 libsqlite3-dev)
robocache_require(ZSTD libzstd libzstd-dev)
find_package(BZip2 QUIET) # some systems have no pkg-config file of it
if(NOT BZip2_FOUND)
    list(APPEND robocache_missing libbz2-dev)
endif()
if(ROBOCACHE_TESTS)
    robocache_require(CMOCKA cmocka libcmocka-dev)
endif()
if(robocache_missing)
    list(JOIN robocache_missing " " robocache_missing)
    message(FATAL_ERROR "libraries are missing: apt-get install ${robocache_missing}\n"
                        "(Ubuntu before 24.04 names libturbojpeg0-dev libturbojpeg-dev)")
endif()

# The tree's own environment first, then whatever Python comes first on PATH.
if(NOT DEFINED Python_EXECUTABLE AND EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/.venv/bin/python")
    set(Python_EXECUTABLE "${CMAKE_CURRENT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH "")
endif()
set(Python_FIND_STRATEGY LOCATION)
set(Python_FIND_VIRTUALENV FIRST)
if(ROBOCACHE_PYTHON)
    find_package(Python 3.10 COMPONENTS Interpreter Development.SABIModule)
    if(NOT Python_Development.SABIModule_FOUND)
        message(FATAL_ERROR "the headers of Python ≥ 3.10 were not found for "
                            "'${Python_EXECUTABLE}': apt-get install python3-dev "
                            "(or configure with -DROBOCACHE_PYTHON=OFF)")
    endif()
else()
    find_package(Python 3.10 COMPONENTS Interpreter REQUIRED)
endif()

# dlpack.h comes with the build requirement apache-tvm-ffi; ROBOCACHE_DLPACK_INCLUDE overrides it.
set(ROBOCACHE_DLPACK_INCLUDE "" CACHE PATH "Folder that holds dlpack/dlpack.h, version 1.3 or newer")
if(NOT ROBOCACHE_DLPACK_INCLUDE)
    execute_process(
        COMMAND "${Python_EXECUTABLE}" -c "
import importlib.util, pathlib
spec = importlib.util.find_spec('tvm_ffi')
for root in (spec.submodule_search_locations or []) if spec else []:
    print(pathlib.Path(root) / 'include')
    break
"
        OUTPUT_VARIABLE dlpack_include OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
else()
    set(dlpack_include "${ROBOCACHE_DLPACK_INCLUDE}")
endif()
if(NOT EXISTS "${dlpack_include}/dlpack/dlpack.h")
    message(FATAL_ERROR "dlpack/dlpack.h was not found: ${Python_EXECUTABLE} -m pip install "
                        "apache-tvm-ffi, or set ROBOCACHE_DLPACK_INCLUDE")
endif()
file(STRINGS "${dlpack_include}/dlpack/dlpack.h" dlpack_version
     REGEX "#define DLPACK_M(AJOR|INOR)_VERSION [0-9]+")
list(TRANSFORM dlpack_version REPLACE "[^0-9]+" "")
list(JOIN dlpack_version "." dlpack_version)
if(dlpack_version VERSION_LESS 1.3)
    message(FATAL_ERROR "${dlpack_include}/dlpack/dlpack.h is version ${dlpack_version}; "
                        "1.3 or newer is needed")
endif()
# Only this one header is taken, so that nothing else of its package can be included by accident.
configure_file("${dlpack_include}/dlpack/dlpack.h"
               "${PROJECT_BINARY_DIR}/include/dlpack/dlpack.h" COPYONLY)
