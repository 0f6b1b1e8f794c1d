/* SPDX-License-Identifier: Apache-2.0 */
/* How stressors take memory. */
#ifndef TAKE_H
#define TAKE_H
#include "hog.h"

#define STACK_BYTES (64ul * 1024) /* of a task that only takes memory */

/* A mapping of work->bytes, or MAP_FAILED with errno. */
char *map_memory(struct work *work, int flags, int fd);
/* Writes every page of a mapping, in the work's order and pace; 0, or -1 with errno. */
int touch_memory(struct work *work, char *memory);
/* Pauses where the work says so after so many bytes. */
void rest(struct work *work, size_t done);
void stamp(char *page);
/* What check_taken() is to check; one mapping a process. */
void note_taken(char *memory, size_t bytes);

/* -- stressors.c */

int grow_vm(struct work *work);

/* -- holders.c */

int grow_readmem(struct work *work);
int grow_pipelock(struct work *work);
int grow_pipewait(struct work *work);

/* -- tasks.c */

int grow_pthread(struct work *work);
int grow_clone(struct work *work);
int grow_vfork(struct work *work);
int grow_fork(struct work *work);
#endif
