# cmake -DFROM=<python/robocache> -DTO=<build>/python/robocache -P link_package.cmake
#
# Links the package's files and folders beside the built module, so that edits show at once, and
# removes links whose target is gone.

file(MAKE_DIRECTORY "${TO}")
file(GLOB links RELATIVE "${TO}" "${TO}/*")
foreach(name IN LISTS links)
    if(IS_SYMLINK "${TO}/${name}" AND NOT EXISTS "${TO}/${name}")
        file(REMOVE "${TO}/${name}")
    endif()
endforeach()
file(GLOB names RELATIVE "${FROM}" "${FROM}/*")
list(REMOVE_ITEM names __pycache__)
foreach(name IN LISTS names)
    if(NOT EXISTS "${TO}/${name}")
        file(CREATE_LINK "${FROM}/${name}" "${TO}/${name}" SYMBOLIC)
    endif()
endforeach()
