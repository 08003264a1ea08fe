# SPDX-License-Identifier: MIT
# How every target of jobq is made: the language level, the warning wall, hardening, and the
# helpers jobq_library(), jobq_program() and jobq_test().
include_guard(GLOBAL)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # gnu11
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

add_library(jobq_flags INTERFACE)
target_compile_definitions(jobq_flags INTERFACE _GNU_SOURCE)
target_compile_options(jobq_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2 -Wcast-qual -Wundef -Wwrite-strings
    -Wpointer-arith -fno-common
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(JOBQ_WERROR)
    target_compile_options(jobq_flags INTERFACE -Werror)
endif()
if(JOBQ_SANITIZE)
    target_compile_options(jobq_flags INTERFACE
        -fsanitize=${JOBQ_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(jobq_flags INTERFACE -fsanitize=${JOBQ_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(jobq_flags INTERFACE
        -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fcf-protection)
    target_link_options(jobq_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()
# Libraries hold both forms, so that a program can be optimised across their files (LTO) and all
# others link as fast as ever. What is installed of libjobq has objects of its own, without.
if(JOBQ_LTO AND CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    set(lto_compile -flto=auto -ffat-lto-objects)
    set(lto_link -flto=auto)
    set(no_lto_link -fno-lto) # without, gcc takes the one form where it finds both
endif()
if(JOBQ_FUZZ)
    target_compile_options(jobq_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(JOBQ_COVERAGE)
    target_compile_options(jobq_flags INTERFACE --coverage)
    target_link_options(jobq_flags INTERFACE --coverage)
endif()
add_compile_definitions(JOBQ_VERSION="${PROJECT_VERSION}")

# jobq_library(name SOURCES ... [PUBLIC targets ...] [PRIVATE targets ...])
# One static library for one folder. Headers are included by the path below the top folder.
function(jobq_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE jobq_flags ${ARG_PRIVATE})
    target_compile_options(${name} PRIVATE ${lto_compile})
endfunction()

# jobq_program(name [LTO] SOURCES ... LINK targets ...)
function(jobq_program name)
    cmake_parse_arguments(ARG "LTO" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE jobq_flags ${ARG_LINK})
    target_link_options(${name} PRIVATE -pie $<IF:$<BOOL:${ARG_LTO}>,${lto_link},${no_lto_link}>)
endfunction()

# jobq_test(name [SOURCES ...] LINK targets ... [LABELS ...] [TIMEOUT seconds])
# A cmocka program name.c, run by ctest.
function(jobq_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
    if(NOT ARG_SOURCES)
        set(ARG_SOURCES ${name}.c)
    endif()
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 60)
    endif()
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE jobq_flags ${ARG_LINK} jobq_cmocka)
    target_link_options(${name} PRIVATE ${no_lto_link})
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
