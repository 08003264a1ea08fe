# SPDX-License-Identifier: MIT
# Third-party libraries, each as one imported target; which file may include which header is in
# CONTRIBUTING.md.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq>=4.3.3)
pkg_search_module(MSGPACK REQUIRED IMPORTED_TARGET msgpack-c msgpack)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.37)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)

if(JOBQ_TESTS)
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    # cmocka.h needs these included before it, in every test, always.
    add_library(jobq_cmocka INTERFACE)
    target_link_libraries(jobq_cmocka INTERFACE PkgConfig::CMOCKA)
endif()
