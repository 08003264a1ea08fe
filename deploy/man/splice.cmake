# SPDX-License-Identifier: MIT
# cmake -D PAGE=... -D PRINT=... -D OUT=... -P splice.cmake
# Copies a man page's source; its line @settings@ becomes what the program PRINT prints.
cmake_minimum_required(VERSION 3.25)
file(READ ${PAGE} page)
if(PRINT)
    execute_process(COMMAND ${PRINT} OUTPUT_VARIABLE settings COMMAND_ERROR_IS_FATAL ANY)
    string(STRIP "${settings}" settings)
    string(REPLACE "@settings@" "${settings}" page "${page}")
endif()
file(WRITE ${OUT} "${page}")
