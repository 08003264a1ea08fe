/* SPDX-License-Identifier: MIT
 *
 * crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it
 * has one. */
#ifndef JQ_BASE_CRC32C_H
#define JQ_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Feed pieces by passing the last result as `crc`; start with 0. "123456789" gives 0xe3069283. */
uint32_t jq_crc32c(uint32_t crc, const void *data, size_t size);

#endif
