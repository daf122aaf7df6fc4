/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* MESSAGE_ID= of the events that an operator may want to be woken for; `journalctl MESSAGE_ID=...` finds them, and
 * units/shmstaged.catalog explains them. */

#define MESSAGE_READY "3442e359d97a454e8dde1069e253c960"
#define MESSAGE_DEGRADED "c6fa2bb4df434ed0a58c6aa3619edcbc"
#define MESSAGE_FAILED "4742079a52d741daa9b8649d1494a255"
#define MESSAGE_WITHHELD "ffcb0a827cb240249889f627fc1c8f08"
#define MESSAGE_HELD "33a3886a36ca4d0a8ca651e1bff648b5"
#define MESSAGE_SOURCE_LOST "5ad976a724d9421b876b11f7b38a9b50"
#define MESSAGE_MIRROR_KEPT "6cfec75a9770471fac235a32b70036d4"
#define MESSAGE_UNSAVED "0d2c2f3c0e6d4c57a2b1a54a6f3e0c19"
#define MESSAGE_CONFLICT "5b7f2a7e1cf84c0b9a3a9b1f2d6f4e71"
#define MESSAGE_BRAKE "a9c1c4f5d2b84a6f8f6a7be2d3c0917e"
#define MESSAGE_MIRROR_LOST "7e4b1d0f9a2c4f0db4f0f3a6c58d21b6"
#define MESSAGE_SCRUB "53edfeed212248b68223d839e6b59276"
#define MESSAGE_SOURCE_FOUND "40cbf7c5b749448e90f65c345d177d05"
#define MESSAGE_NO_ROOM "5bfe04cf30e741b5a814f0ff15890409"
#define MESSAGE_UNWATCHED "922e8faa7d474ae3a702993ff9fe9842"
#define MESSAGE_REFUSED "9720e4a7f45b4df5b4a8a58a7bc4a6c3"
