// SPDX-License-Identifier: Apache-2.0
/* Events: JSON lines, kept in a static buffer until the round is over. */
#include "supervise.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void append(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	size_t room = sizeof book->out - book->out_len;
	int n = vsnprintf(book->out + book->out_len, room, format, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < room)
		book->out_len += n;
}

void flush_events(void)
{
	for (size_t done = 0; done < book->out_len;) {
		ssize_t n = write(1, book->out + done, book->out_len - done);
		if (n < 0 && errno != EINTR)
			break;
		if (n > 0)
			done += n;
	}
	book->out_len = 0;
}

void die(int code, const char *what)
{
	event("{\"event\":\"error\",\"what\":\"%s\",\"errno\":%d}", what, errno);
	flush_events();
	exit(code);
}
