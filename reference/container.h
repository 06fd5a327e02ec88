/* `.spky` files in memory around the codec of spikey.h: sections 2 to 8 of docs/format.md, as far as they are needed for
 * the predictor lpc. Nothing is allocated here either.
 */
#ifndef SPIKEY_CONTAINER_H
#define SPIKEY_CONTAINER_H

#include "spikey.h"

#define SPIKEY_TABLE 4096 /* levels of a table, at most */

/* Types of samples, as headers number them. */
typedef enum {
    SPIKEY_INT8, SPIKEY_UINT8, SPIKEY_INT16, SPIKEY_UINT16, SPIKEY_INT24, SPIKEY_INT32, SPIKEY_UINT32
} spikey_type;

/* Samples as a file has them: interleaved, little-endian. */
typedef struct {
    const uint8_t *samples;
    uint64_t frames;
    uint32_t channels;
    uint32_t rate; /* Hz */
    uint8_t type;  /* a spikey_type */
} spikey_recording;

/* The values of one channel: offset + step * code; kinds 0 N1, 1 affine, 2 table, 5 rescaled. */
typedef struct {
    uint64_t offset, step; /* modulo 2^64; of kind 5 the step is a numerator */
    uint32_t codes, denominator, zero, phase; /* the last three of kind 5 */
    uint8_t kind, bits, start, calibrated;
    uint32_t table[SPIKEY_TABLE]; /* above `offset` */
} spikey_levels;

/* The working memory of coding one block. */
typedef struct {
    spikey_channel channel;
    spikey_levels levels;
    union {
        spikey_encoder encoders[SPIKEY_LANES];
        spikey_decoder decoders[SPIKEY_LANES];
    } coder;
} spikey_work;

/* A file taken apart. */
typedef struct {
    const uint8_t *data;
    size_t size;
    size_t header;  /* bytes */
    size_t entries; /* where the index's entries begin */
    uint64_t blocks;
    uint64_t frames;
    uint64_t restored; /* bytes of the restored file */
    uint64_t head;     /* of them, before the samples, those that blocks or a record hold */
    uint64_t tail;
    size_t records[2], record_sizes[2]; /* of head and tail, packed */
    uint64_t record_plain[2];           /* their sizes unpacked */
    uint32_t channels;
    uint32_t rate;
    uint8_t type, wrapper, single, named;
    uint8_t calibration[4];
} spikey_reader;

/* Take apart a file of `size` bytes and check its structure; the data must stay where they are. */
spikey_status spikey_open(spikey_reader *reader, const uint8_t *data, size_t size);

/* Write the restored file, reader->restored bytes, to `out`. What is there is right only where SPIKEY_OK is returned. */
spikey_status spikey_restore(const spikey_reader *reader, uint8_t *out, spikey_work *work);

/* Find the samples of a WAV file whose 44 bytes of header follow from them; SPIKEY_UNSUPPORTED for all others. */
spikey_status spikey_wav(spikey_recording *recording, const uint8_t *data, size_t size);

/* Room that spikey_pack needs: for the file, and to work in. */
uint64_t spikey_bound(const spikey_recording *recording);
uint64_t spikey_scratch(const spikey_recording *recording);

/* Write the file of a canonical WAV to `out`: the bytes that the Python package writes with the predictor lpc and the
 * calibration n1, or, where not `calibrated`, none. Types: those of WAV files. SPIKEY_ROOM where room or scratch are
 * smaller than the bounds. */
spikey_status spikey_pack(
    const spikey_recording *recording, int calibrated, uint8_t *out, uint64_t room, uint8_t *scratch,
    uint64_t scratch_room, spikey_work *work, uint64_t *size);

/* ---- between block.c and container.c ---- */

typedef struct {
    const uint8_t *data;
    size_t at, size;
    int bad; /* something was missing or out of range */
} spikey_cursor;

typedef struct {
    uint8_t *data;
    size_t at, room; /* at > room: it did not fit */
} spikey_writer;

/* Samples of a block within a recording in memory: `stride` bytes from frame to frame. */
typedef struct {
    uint8_t *at;
    size_t stride;
    uint32_t frames, channels;
    uint8_t type;
} spikey_samples;

const uint8_t *spikey_take(spikey_cursor *cursor, uint64_t count); /* NULL and `bad` where there are fewer */
uint8_t spikey_get(spikey_cursor *cursor);
uint64_t spikey_varint(spikey_cursor *cursor, uint64_t limit);
void spikey_put(spikey_writer *writer, uint64_t byte);
void spikey_put_varint(spikey_writer *writer, uint64_t value);
unsigned spikey_size(unsigned type);

/* The payload of section 7, both ways. `known`: the calibration that the file names, or NULL; `named`: it names one.
 * What encode_payload writes fits into 1 byte more than the samples; *used: whether the calibration was. */
spikey_status spikey_decode_payload(
    const uint8_t *payload, size_t size, spikey_samples samples, const spikey_calibration *known, int named,
    spikey_work *work);
spikey_status spikey_encode_payload(
    spikey_writer *out, spikey_samples samples, const spikey_calibration *known, uint8_t *scratch, spikey_work *work,
    int *used);
uint64_t spikey_payload_scratch(uint64_t frames, uint64_t channels, unsigned type);

#endif
