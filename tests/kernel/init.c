// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The only process of the measured kernel: carries out /program, one operation a line, and prints what the kernel did.
 *
 * It judges nothing.  Each operation is answered on the second serial line by "= NUMBER" (0, or minus an errno) and,
 * before that, by what was seen while it ran:
 *
 *   + ADDRESS          a radix_tree_node was allocated by this process
 *   - ADDRESS          a radix_tree_node was freed, grace periods included; another process's too
 *   ! TEXT             the kernel complained
 *
 * Operations (OFFSET, SIZE in bytes; FILE is a number below FILES):
 *
 *   set PATH TEXT                  write TEXT into a file of /proc or /sys
 *   get PATH [KEY]                 "= NUMBER": the number in the file, or behind KEY in it
 *   open FILE huge|base            a new file on a tmpfs of hugepages, or of base pages
 *   write FILE OFFSET SIZE         store to the range, page by page
 *   punch FILE OFFSET SIZE         fallocate(PUNCH_HOLE)
 *   collapse FILE OFFSET SIZE      madvise(MADV_COLLAPSE) on a mapping of the range
 *   truncate FILE SIZE
 *   close FILE                     the file has no other link: its pages go
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* include/uapi/asm-generic/mman-common.h, since Linux 6.1 */
#endif

#define FILES 64
#define PAGE 4096L
#define TRACING "/sys/kernel/tracing/"

static FILE *out;
static int files[FILES];
static int kernel_log = -1;
static int trace_pipe = -1;

static void say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(out, format, arguments);
	va_end(arguments);
	fflush(out);
}

static long write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	long result = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		result = -errno;
	close(fd);
	return result;
}

/* The number that a file holds, or that stands behind KEY at the beginning of one of its lines. */
static long read_number(const char *path, const char *key)
{
	FILE *file = fopen(path, "r");
	char line[256];
	long number = -ENOENT;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		size_t length = key ? strlen(key) : 0;

		if (key && (strncmp(line, key, length) || !strchr(" :\t", line[length])))
			continue;
		number = strtol(line + length + strspn(line + length, " :\t"), NULL, 10);
		break;
	}
	fclose(file);
	return number;
}

/*
 * Waits until all that was given to call_rcu() is free.  An older kernel cannot be asked for rcu_barrier(): there, two
 * grace periods and a pause must do.
 */
static void settle(void)
{
	if (!write_text("/sys/module/rcutree/parameters/do_rcu_barrier", "1"))
		return;
	for (int i = 0; i < 2; i++) {
		syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
		usleep(50000);
	}
}

/* One line of the trace: the function's name, then "ptr=ADDRESS" among the rest. */
static void show_event(const char *line)
{
	const char *pointer = strstr(line, " ptr=");

	if (pointer && strstr(line, " kmem_cache_alloc:"))
		say("+ %.16s\n", pointer + 5);
	else if (pointer && strstr(line, " kmem_cache_free:"))
		say("- %.16s\n", pointer + 5);
	else if (strstr(line, "LOST"))
		say("! the trace has lost events\n");
}

static void show_trace(void)
{
	static char buffer[1 << 16];
	static size_t kept;
	ssize_t got;

	while (trace_pipe >= 0 && (got = read(trace_pipe, buffer + kept, sizeof(buffer) - kept - 1)) > 0) {
		char *line = buffer, *end;

		kept += got;
		buffer[kept] = 0;
		while ((end = strchr(line, '\n'))) {
			*end = 0;
			show_event(line);
			line = end + 1;
		}
		kept -= line - buffer;
		memmove(buffer, line, kept);
	}
}

static void show_complaints(void)
{
	char record[8192];
	ssize_t got;

	while ((got = read(kernel_log, record, sizeof(record) - 1)) > 0 || (got < 0 && errno == EPIPE)) {
		char *text;

		if (got < 0)
			continue;
		record[got] = 0;
		text = strchr(record, ';');
		if (text && (strstr(text, "BUG:") || strstr(text, "WARNING:") || strstr(text, "Oops")))
			say("! %.*s\n", (int)strcspn(text + 1, "\n"), text + 1);
	}
}

static long open_file(int number, const char *kind)
{
	char path[32];

	snprintf(path, sizeof(path), "/%s", kind);
	files[number] = open(path, O_TMPFILE | O_RDWR, 0600);
	return files[number] < 0 ? -errno : 0;
}

static long write_range(int fd, long offset, long size)
{
	for (long at = offset; at < offset + size; at += PAGE)
		if (pwrite(fd, "x", 1, at) != 1)
			return -errno;
	return 0;
}

static long collapse(int fd, long offset, long size)
{
	char *place = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long result;

	if (place == MAP_FAILED)
		return -errno;
	place = (char *)(((unsigned long)place + size - 1) / size * size);
	if (mmap(place, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, offset) == MAP_FAILED)
		return -errno;
	for (int tries = 0; tries < 10; tries++) { /* EAGAIN: somebody held a page for a moment */
		result = madvise(place, size, MADV_COLLAPSE) ? -errno : 0;
		if (result != -EAGAIN)
			break;
		usleep(10000);
	}
	munmap(place, size);
	return result;
}

static long result_of(int result)
{
	return result < 0 ? -errno : 0;
}

static long carry_out(char *line)
{
	char word[16] = "", first[160] = "", second[64] = "";
	long offset = 0, size = 0;
	int number, fd;

	if (sscanf(line, "%15s %159s %63s %ld", word, first, second, &size) < 2)
		return -EINVAL;
	if (!strcmp(word, "set"))
		return write_text(first, second);
	if (!strcmp(word, "get"))
		return read_number(first, *second ? second : NULL);
	number = atoi(first);
	if (number < 0 || number >= FILES)
		return -EINVAL;
	if (!strcmp(word, "open"))
		return open_file(number, second);
	fd = files[number];
	offset = strtol(second, NULL, 10);
	if (!strcmp(word, "write"))
		return write_range(fd, offset, size);
	if (!strcmp(word, "punch"))
		return result_of(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, size));
	if (!strcmp(word, "collapse"))
		return collapse(fd, offset, size);
	if (!strcmp(word, "truncate"))
		return result_of(ftruncate(fd, offset));
	if (!strcmp(word, "close"))
		return result_of(close(fd));
	return -EINVAL;
}

/* Allocations of this process and all frees; the allocation event does not name its cache, but nothing else asks for 576. */
static void start_trace(void)
{
	char filter[64];

	snprintf(filter, sizeof(filter), "bytes_req==576 && common_pid==%d", getpid());
	write_text(TRACING "options/hash-ptr", "0");
	write_text(TRACING "buffer_size_kb", "8192");
	write_text(TRACING "events/kmem/kmem_cache_alloc/filter", filter);
	write_text(TRACING "events/kmem/kmem_cache_free/filter", "name == \"radix_tree_node\"");
	if (write_text(TRACING "events/kmem/kmem_cache_alloc/enable", "1") ||
	    write_text(TRACING "events/kmem/kmem_cache_free/enable", "1"))
		say("! no trace of kmem events\n");
	trace_pipe = open(TRACING "trace_pipe", O_RDONLY | O_NONBLOCK);
}

static void mount_all(void)
{
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mkdir("/huge", 0755);
	mkdir("/base", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("tracefs", TRACING, "tracefs", 0, NULL);
	mount("tmpfs", "/huge", "tmpfs", 0, "huge=always,size=90%");
	mount("tmpfs", "/base", "tmpfs", 0, "huge=never,size=90%");
}

int main(void)
{
	cpu_set_t first;
	char line[512];
	FILE *program;

	mount_all();
	out = fopen("/dev/ttyS1", "w");
	program = fopen("/program", "r");
	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	if (!out || !program || kernel_log < 0)
		goto end;
	lseek(kernel_log, 0, SEEK_END);
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	sched_setaffinity(0, sizeof(first), &first); /* frees are delayed on the CPU that asks for them */
	start_trace();
	while (fgets(line, sizeof(line), program)) {
		long result;

		line[strcspn(line, "\n")] = 0;
		say("> %s\n", line);
		result = carry_out(line);
		settle();
		show_trace();
		show_complaints();
		say("= %ld\n", result);
	}
	say("end\n");
end:
	reboot(RB_POWER_OFF);
	return 1;
}
