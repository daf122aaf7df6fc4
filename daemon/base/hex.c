/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Bytes as hexadecimal digits. See base/hex.h. */

#include "base/hex.h"

static const char digits[] = "0123456789abcdef";

char *hex_encode(const uint8_t *bytes, size_t n, char *hex) {
        for (size_t i = 0; i < n; i++) {
                hex[2 * i] = digits[bytes[i] >> 4];
                hex[2 * i + 1] = digits[bytes[i] & 15];
        }
        hex[2 * n] = '\0';
        return hex;
}

static int digit_value(char c, bool any_case) {
        if (any_case && c >= 'A' && c <= 'F')
                c = (char) (c - 'A' + 'a');
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= '0' && c <= '9' ? c - '0' : -1;
}

bool hex_decode(const char *hex, size_t n, bool any_case, uint8_t *ret) {
        for (size_t i = 0; i < n; i++) {
                int high = digit_value(hex[2 * i], any_case);
                int low = high < 0 ? -1 : digit_value(hex[2 * i + 1], any_case);

                if (low < 0)
                        return false;
                ret[i] = (uint8_t) (high << 4 | low);
        }
        return true;
}
