/* spikey-ref: compresses canonical WAV files as the predictor lpc does, and restores what it and Python wrote. */
#define _POSIX_C_SOURCE 199309L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "container.h"

static const char *const reasons[] = {
    "", "is damaged or not a Spikey file", "needs what this implementation leaves out", "did not fit", "is out of range"};

static void *room_for(uint64_t size)
{
    void *room = size < SIZE_MAX ? malloc((size_t)size + 1) : NULL;
    if (room == NULL) {
        fprintf(stderr, "spikey-ref: no memory for %llu bytes\n", (unsigned long long)size);
        exit(1);
    }
    return room;
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    size_t room = 1 << 16;
    uint8_t *data = room_for(room);
    *size = 0;
    while (file != NULL && !feof(file) && !ferror(file)) {
        *size += fread(data + *size, 1, room - *size, file);
        if (*size == room) {
            uint8_t *more = room_for(2 * (uint64_t)room);
            memcpy(more, data, *size);
            free(data);
            data = more;
            room *= 2;
        }
    }
    if (file == NULL || ferror(file)) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return data;
}

static void write_file(const char *path, const uint8_t *data, uint64_t size)
{
    FILE *file = fopen(path, "wb");
    int done = file != NULL && fwrite(data, 1, (size_t)size, file) == size;
    if (file == NULL || fclose(file) != 0 || !done) {
        perror(path);
        exit(2);
    }
}

static spikey_status compress(const uint8_t *data, size_t size, int calibrated, uint8_t **out, uint64_t *out_size)
{
    static spikey_work work;
    spikey_recording recording;
    uint8_t *scratch;
    spikey_status status = spikey_wav(&recording, data, size);
    if (status != SPIKEY_OK)
        return status;
    *out = room_for(spikey_bound(&recording));
    scratch = room_for(spikey_scratch(&recording));
    status = spikey_pack(
        &recording, calibrated, *out, spikey_bound(&recording), scratch, spikey_scratch(&recording), &work, out_size);
    free(scratch);
    return status;
}

static spikey_status decompress(const uint8_t *data, size_t size, uint8_t **out, uint64_t *out_size)
{
    static spikey_work work;
    spikey_reader reader;
    spikey_status status = spikey_open(&reader, data, size);
    if (status != SPIKEY_OK)
        return status;
    *out_size = reader.restored;
    *out = room_for(reader.restored);
    return spikey_restore(&reader, *out, &work);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The best of several runs each way, in memory. */
static spikey_status bench(const uint8_t *data, size_t size)
{
    double best[2] = {1e9, 1e9}, start;
    spikey_recording recording;
    spikey_status status = spikey_wav(&recording, data, size);
    uint64_t packed_size = 0, plain_size = 0;
    int run;
    for (run = 0; run < 7 && status == SPIKEY_OK; run++) {
        uint8_t *packed = NULL, *plain = NULL;
        start = seconds();
        status = compress(data, size, 1, &packed, &packed_size);
        best[0] = seconds() - start < best[0] ? seconds() - start : best[0];
        start = seconds();
        if (status == SPIKEY_OK)
            status = decompress(packed, (size_t)packed_size, &plain, &plain_size);
        best[1] = seconds() - start < best[1] ? seconds() - start : best[1];
        if (status == SPIKEY_OK && (plain_size != size || memcmp(plain, data, size) != 0))
            status = SPIKEY_DAMAGED;
        free(packed);
        free(plain);
    }
    if (status == SPIKEY_OK) {
        double samples = 1e-6 * (double)recording.frames * recording.channels;
        printf("ratio %.4f, million samples/s: encode %.1f, decode %.1f\n", (double)size / (double)packed_size,
            samples / best[0], samples / best[1]);
    }
    return status;
}

/* Damage a file here and there, many times, and restore it: nothing may go wrong but the result. */
static spikey_status fuzz(const uint8_t *data, size_t size, int trials)
{
    static spikey_work work;
    uint64_t state = 88172645463325252u + size;
    uint8_t *copy = room_for(size), *out;
    spikey_reader reader;
    int trial, count[SPIKEY_USAGE + 1] = {0};
    for (trial = 0; trial < trials; trial++) {
        size_t length = size;
        spikey_status status;
        int changes;
        memcpy(copy, data, size);
        for (changes = 0; changes < 1 + trial % 4; changes++) {
            size_t reach = trial & 8 ? size : size < 64 ? size : 64, place;
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
            place = (size_t)(state >> 33) % (reach + 1);
            if (trial & 16 && reach < size)
                place += size - reach;
            if (place >= size || trial % 16 == 7)
                length = place < size ? place : size;
            else
                copy[place] = (uint8_t)((trial & 1 ? state >> 24 : copy[place] ^ 1u << (state >> 24 & 7)) & 255);
        }
        out = malloc(length); /* of its own size, so that reading past the end is noticed */
        if (out == NULL)
            continue;
        memcpy(out, copy, length);
        status = spikey_open(&reader, out, length);
        if (status == SPIKEY_OK && reader.restored < 1 << 18) {
            uint8_t *restored = malloc((size_t)reader.restored);
            if (restored != NULL || reader.restored == 0)
                status = spikey_restore(&reader, restored, &work);
            free(restored);
        }
        free(out);
        count[status]++;
    }
    free(copy);
    printf("%d restored, %d damaged, %d unsupported\n", count[0], count[1], count[2]);
    return SPIKEY_OK;
}

static void sizes(void)
{
    printf("spikey_channel %zu bytes with SPIKEY_LANES %d and SPIKEY_CHUNK %d\n", sizeof(spikey_channel), SPIKEY_LANES,
        SPIKEY_CHUNK);
    printf("spikey_encoder %zu, spikey_decoder %zu, spikey_work %zu, spikey_reader %zu\n", sizeof(spikey_encoder),
        sizeof(spikey_decoder), sizeof(spikey_work), sizeof(spikey_reader));
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    int plain = count == 5 && strcmp(arguments[4], "--uncalibrated") == 0;
    spikey_status status;
    uint8_t *data, *out = NULL;
    uint64_t out_size = 0;
    size_t size;

    if (count == 2 && strcmp(what, "sizes") == 0) {
        sizes();
        return 0;
    }
    if (!((count == 4 && (strcmp(what, "compress") == 0 || strcmp(what, "decompress") == 0 || strcmp(what, "fuzz") == 0))
            || (plain && strcmp(what, "compress") == 0) || (count == 3 && strcmp(what, "bench") == 0))) {
        fprintf(stderr, "usage: spikey-ref compress IN.wav OUT.spky [--uncalibrated]\n"
                        "       spikey-ref decompress IN.spky OUT.wav\n"
                        "       spikey-ref bench IN.wav\n"
                        "       spikey-ref fuzz IN.spky TRIALS\n"
                        "       spikey-ref sizes\n");
        return 2;
    }
    data = read_file(arguments[2], &size);
    if (strcmp(what, "bench") == 0)
        status = bench(data, size);
    else if (strcmp(what, "fuzz") == 0)
        status = fuzz(data, size, atoi(arguments[3]));
    else if (strcmp(what, "compress") == 0)
        status = compress(data, size, !plain, &out, &out_size);
    else
        status = decompress(data, size, &out, &out_size);
    if (status != SPIKEY_OK)
        fprintf(stderr, "spikey-ref: %s %s\n", arguments[2], reasons[status]);
    else if (out != NULL)
        write_file(arguments[3], out, out_size);
    free(out);
    free(data);
    return status == SPIKEY_OK ? 0 : 1;
}
