/* Whole files: header, blocks, index, checksums (sections 2 to 6 of docs/format.md), and canonical WAV files. */
#include "container.h"

#include <string.h>

#define SPIKEY_FILE_TABLES
#include "tables.h"

enum { SAMPLES, CANONICAL, WRAPPED, BYTES };                   /* wrappers */
enum { BLOCK_SAMPLES, BLOCK_HEAD, BLOCK_TAIL, BLOCK_BYTES };   /* kinds of blocks */
enum { SINGLE = 1, RECORDS = 2, LOSSY = 4, NAMED = 8 };        /* flags of the header */
#define WAV_HEAD 44
#define LARGEST (UINT64_C(1) << 22) /* samples or bytes of a block */
#define FOOTER 16
#define BLOCK_ROOM 96 /* of a block's header or its entry in the index */
#define FILE_ROOM 64  /* of a file's header without records */

/* A block as its header and the index state it. */
typedef struct {
    uint64_t kind, first, frames, first_channel, channels, size, offset;
    size_t fields, length; /* where its fields begin, and their bytes without the check */
    uint32_t check;
} block;

static uint32_t crc(uint32_t start, const uint8_t *data, size_t size)
{
    uint32_t sum = ~start;
    size_t i;
    for (i = 0; i < size; i++)
        sum = sum >> 8 ^ crc_bytes[(sum ^ data[i]) & 255];
    return ~sum;
}

static int same(uint32_t one, uint32_t other)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)one, (void)other;
    return 1;
#else
    return one == other;
#endif
}

static uint64_t little(const uint8_t *data, unsigned count)
{
    uint64_t value = 0;
    while (count-- > 0)
        value = value << 8 | data[count];
    return value;
}

static void put_little(uint8_t *data, uint64_t value, unsigned count)
{
    unsigned i;
    for (i = 0; i < count; i++)
        data[i] = (uint8_t)(value >> 8 * i & 255);
}

static int equal(const uint8_t *one, const uint8_t *other, size_t count)
{
    while (count > 0 && *one++ == *other++)
        count--;
    return count == 0;
}

static uint32_t crc_samples(uint32_t sum, spikey_samples samples)
{
    size_t row = (size_t)samples.channels * spikey_size(samples.type);
    uint32_t frame;
    if (row == samples.stride)
        return crc(sum, samples.at, row * samples.frames);
    for (frame = 0; frame < samples.frames; frame++)
        sum = crc(sum, samples.at + frame * samples.stride, row);
    return sum;
}

/* ---------------------------------------------------------------- canonical WAV */

/* The 44 bytes; SPIKEY_UNSUPPORTED where they cannot state the recording. */
static spikey_status wav_head(uint8_t *head, unsigned type, uint64_t frames, uint64_t channels, uint64_t rate)
{
    uint64_t width = channels * spikey_size(type), size = frames * width;
    int stated = type == SPIKEY_UINT8 || type == SPIKEY_INT16 || type == SPIKEY_INT24 || type == SPIKEY_INT32;
    if (!stated || channels > 0xFFFF || width > 0xFFFF || rate * width > 0xFFFFFFFF)
        return SPIKEY_UNSUPPORTED;
    if (frames > 0xFFFFFFFF || size > 0xFFFFFFFF - (WAV_HEAD - 8))
        return SPIKEY_UNSUPPORTED;
    memcpy(head, "RIFF????WAVEfmt ", 16);
    put_little(head + 4, WAV_HEAD - 8 + size, 4);
    put_little(head + 16, 16, 4);
    put_little(head + 20, 1, 2);
    put_little(head + 22, channels, 2);
    put_little(head + 24, rate, 4);
    put_little(head + 28, rate * width, 4);
    put_little(head + 32, width, 2);
    put_little(head + 34, 8 * spikey_size(type), 2);
    memcpy(head + 36, "data", 4);
    put_little(head + 40, size, 4);
    return SPIKEY_OK;
}

spikey_status spikey_wav(spikey_recording *recording, const uint8_t *data, size_t size)
{
    static const uint8_t types[] = {SPIKEY_UINT8, SPIKEY_INT16, SPIKEY_INT24, SPIKEY_INT32};
    uint8_t head[WAV_HEAD];
    uint64_t channels, bits;
    if (size < WAV_HEAD)
        return SPIKEY_UNSUPPORTED;
    channels = little(data + 22, 2);
    bits = little(data + 34, 2);
    if (channels == 0 || bits % 8 != 0 || bits < 8 || bits > 32)
        return SPIKEY_UNSUPPORTED;
    recording->channels = (uint32_t)channels;
    recording->rate = (uint32_t)little(data + 24, 4);
    recording->type = types[bits / 8 - 1];
    recording->frames = (size - WAV_HEAD) / (channels * bits / 8);
    recording->samples = data + WAV_HEAD;
    if (WAV_HEAD + recording->frames * (channels * bits / 8) != size)
        return SPIKEY_UNSUPPORTED;
    if (wav_head(head, recording->type, recording->frames, channels, recording->rate) != SPIKEY_OK)
        return SPIKEY_UNSUPPORTED;
    return equal(head, data, WAV_HEAD) ? SPIKEY_OK : SPIKEY_UNSUPPORTED;
}

/* ---------------------------------------------------------------- taking apart */

static spikey_cursor cursor_at(const spikey_reader *reader, size_t at, size_t end)
{
    spikey_cursor cursor = {NULL, 0, 0, 0};
    cursor.data = reader->data;
    cursor.at = at;
    cursor.size = end;
    return cursor;
}

static spikey_status read_records(spikey_reader *reader, spikey_cursor *cursor)
{
    uint64_t count = spikey_varint(cursor, 1 << 16), number, size;
    for (; count > 0 && !cursor->bad; count--) {
        size_t start;
        number = spikey_varint(cursor, UINT64_C(1) << 62);
        size = spikey_varint(cursor, 1 << 20);
        start = cursor->at;
        if (spikey_take(cursor, size) == NULL)
            break;
        if (number >> 1 == 0 || number >> 1 > 4) {
            if (number & 1)
                return SPIKEY_UNSUPPORTED;
        } else if (number >> 1 >= 3 && reader->records[(number >> 1) - 3] == 0) {
            spikey_cursor inside = cursor_at(reader, start, cursor->at);
            unsigned which = (unsigned)(number >> 1) - 3;
            reader->record_plain[which] = spikey_varint(&inside, 1 << 20);
            if (inside.bad)
                return SPIKEY_DAMAGED;
            reader->records[which] = inside.at;
            reader->record_sizes[which] = inside.size - inside.at;
        }
    }
    return cursor->bad ? SPIKEY_DAMAGED : SPIKEY_OK;
}

static spikey_status read_header(spikey_reader *reader)
{
    size_t end = reader->size < LARGEST ? reader->size : (size_t)LARGEST;
    spikey_cursor cursor = cursor_at(reader, 0, end);
    const uint8_t *magic = spikey_take(&cursor, 4), *name;
    unsigned version = spikey_get(&cursor), flags = spikey_get(&cursor), kind = spikey_get(&cursor);
    uint64_t rate;
    int whole = 1;

    if (cursor.bad || !equal(magic, (const uint8_t *)"SPKY", 4))
        return SPIKEY_DAMAGED;
    if (version != 1 || (flags & LOSSY) || flags >> 4 || (kind & 15) > SPIKEY_UINT32 || kind >> 4 > BYTES)
        return SPIKEY_UNSUPPORTED;
    reader->type = kind & 15;
    reader->wrapper = (uint8_t)(kind >> 4);
    reader->single = (flags & SINGLE) != 0;
    reader->named = (flags & NAMED) != 0;
    reader->channels = (uint32_t)spikey_varint(&cursor, 1 << 24);
    rate = spikey_varint(&cursor, UINT64_C(1) << 33);
    if (rate == 1) {
        const uint8_t *real = spikey_take(&cursor, 8);
        uint64_t word = real == NULL ? 0 : little(real, 8);
        if (word >> 52 >= 0x7FF && word != UINT64_C(1) << 63) /* infinite, not a number, or negative */
            cursor.bad = 1;
        whole = 0;
    } else if (rate & 1) {
        cursor.bad = 1;
    }
    reader->rate = (uint32_t)(rate >> 1 & 0xFFFFFFFF);
    reader->frames = spikey_varint(&cursor, UINT64_C(1) << 62);
    if (reader->named) {
        name = spikey_take(&cursor, 4);
        if (name != NULL)
            memcpy(reader->calibration, name, 4);
    }
    if (cursor.bad || reader->channels == 0)
        return SPIKEY_DAMAGED;
    if (flags & RECORDS) {
        spikey_status status = read_records(reader, &cursor);
        if (status != SPIKEY_OK)
            return status;
    }
    reader->header = cursor.at;
    if (reader->wrapper == CANONICAL && (!whole || rate >> 33))
        return SPIKEY_UNSUPPORTED;
    return SPIKEY_OK;
}

/* The next entry of the index. */
static block next_block(spikey_cursor *cursor)
{
    const uint64_t limit = UINT64_C(1) << 62;
    block b;
    const uint8_t *check;
    b.fields = cursor->at;
    b.kind = spikey_varint(cursor, limit);
    b.first = spikey_varint(cursor, limit);
    b.frames = spikey_varint(cursor, limit);
    b.first_channel = spikey_varint(cursor, limit);
    b.channels = spikey_varint(cursor, limit);
    b.size = spikey_varint(cursor, limit);
    b.length = cursor->at - b.fields;
    check = spikey_take(cursor, 4);
    b.check = check == NULL ? 0 : (uint32_t)little(check, 4);
    b.offset = spikey_varint(cursor, limit);
    return b;
}

/* Find the index's entries, and check that blocks cover every sample and byte once. */
static spikey_status read_index(spikey_reader *reader)
{
    const uint8_t *data = reader->data, *footer = data + reader->size - FOOTER, *copy;
    uint64_t around[4] = {0, 0, 0, 0}, frame = 0, channel = 0, end = 0, offset, number;
    uint64_t wanted = reader->wrapper == BYTES ? BLOCK_BYTES : BLOCK_SAMPLES;
    spikey_cursor cursor;

    if (reader->size - reader->header < FOOTER + 4 || !equal(footer + 12, (const uint8_t *)"YKPS", 4))
        return SPIKEY_DAMAGED;
    if (!same(crc(0, data, reader->header), (uint32_t)little(data + reader->header, 4)))
        return SPIKEY_DAMAGED;
    offset = little(footer, 8);
    if (offset > reader->size - FOOTER)
        return SPIKEY_DAMAGED;
    if (!same(crc(0, data + offset, reader->size - FOOTER - (size_t)offset), (uint32_t)little(footer + 8, 4)))
        return SPIKEY_DAMAGED;
    cursor = cursor_at(reader, (size_t)offset, reader->size - FOOTER);
    copy = spikey_take(&cursor, 4);
    if (copy == NULL || !equal(copy, (const uint8_t *)"\xb5SI\n", 4))
        return SPIKEY_DAMAGED;
    number = spikey_varint(&cursor, reader->size);
    copy = spikey_take(&cursor, number);
    if (copy == NULL || number != reader->header || !equal(copy, data, reader->header))
        return SPIKEY_DAMAGED;
    reader->blocks = spikey_varint(&cursor, reader->size);
    reader->entries = cursor.at;
    for (number = 0; number < reader->blocks; number++) {
        block b = next_block(&cursor);
        size_t head = 4 + 1 + b.length + 4 + 4, start;
        if (cursor.bad || b.offset > reader->size || b.size > reader->size - b.offset)
            return SPIKEY_DAMAGED;
        if (b.kind > BLOCK_BYTES)
            continue;
        /* The block's own header: mark, length, the same fields and check, a checksum of those. */
        if (b.offset < head || b.length > 251)
            return SPIKEY_DAMAGED;
        start = (size_t)b.offset - head;
        if (!equal(data + start, (const uint8_t *)"\xb5SB\n", 4) || data[start + 4] != b.length + 4
            || !equal(data + start + 5, data + b.fields, b.length + 4)
            || !same(crc(0, data + start + 5, b.length + 4), (uint32_t)little(data + b.offset - 4, 4)))
            return SPIKEY_DAMAGED;
        if (b.kind != BLOCK_SAMPLES && (b.frames > LARGEST || b.channels != 0 || b.first != around[b.kind]))
            return SPIKEY_DAMAGED;
        around[b.kind] = b.first + b.frames;
        if (b.kind != wanted)
            continue;
        if (b.kind == BLOCK_BYTES) {
            frame = around[b.kind];
            continue;
        }
        if (channel == 0)
            end = b.first + b.frames;
        if (b.first != frame || b.first + b.frames != end || b.first_channel != channel || b.channels == 0
            || b.channels > reader->channels - channel || (b.frames > 0 && b.channels > LARGEST / b.frames))
            return SPIKEY_DAMAGED;
        channel += b.channels;
        if (channel == reader->channels) {
            channel = 0;
            frame = end;
        }
    }
    if (cursor.bad || cursor.at != cursor.size || channel != 0 || (reader->frames != 0 && frame != reader->frames))
        return SPIKEY_DAMAGED;
    reader->frames = frame;
    if (reader->wrapper == WRAPPED) {
        reader->head += around[BLOCK_HEAD];
        reader->tail += around[BLOCK_TAIL];
    }
    return SPIKEY_OK;
}

spikey_status spikey_open(spikey_reader *reader, const uint8_t *data, size_t size)
{
    spikey_status status;
    uint64_t row;
    memset(reader, 0, sizeof *reader);
    reader->data = data;
    reader->size = size;
    status = read_header(reader);
    if (status != SPIKEY_OK)
        return status;
    row = reader->wrapper == BYTES ? 1 : (uint64_t)reader->channels * spikey_size(reader->type);
    if (reader->wrapper == WRAPPED) {
        reader->head = reader->record_plain[0];
        reader->tail = reader->record_plain[1];
    }
    if (reader->single) {
        uint64_t channels = reader->wrapper == BYTES ? 1 : reader->channels;
        if (size - reader->header < 4 || reader->frames > LARGEST / channels)
            return SPIKEY_DAMAGED;
    } else {
        status = read_index(reader);
        if (status != SPIKEY_OK)
            return status;
    }
    if (reader->wrapper == CANONICAL) {
        uint8_t head[WAV_HEAD];
        reader->head = WAV_HEAD;
        if (wav_head(head, reader->type, reader->frames, reader->channels, reader->rate) != SPIKEY_OK)
            return SPIKEY_DAMAGED;
    }
    /* Blocks of at most 2^22 samples cover everything, so that none of this can overflow. */
    reader->restored = reader->head + reader->frames * row + reader->tail;
    return SPIKEY_OK;
}

/* ---------------------------------------------------------------- restoring */

/* Plain bytes (section 20): those that are stored as they are. */
static spikey_status unpack(uint8_t *out, uint64_t plain, const uint8_t *packed, uint64_t size)
{
    if (size == 0)
        return SPIKEY_DAMAGED;
    if (packed[0] != 0)
        return SPIKEY_UNSUPPORTED; /* DEFLATE */
    if (size - 1 != plain)
        return SPIKEY_DAMAGED;
    memcpy(out, packed + 1, (size_t)plain);
    return SPIKEY_OK;
}

static spikey_status decode_samples(
    const spikey_reader *reader, const uint8_t *payload, size_t size, spikey_samples samples, spikey_work *work)
{
    const spikey_calibration *known = NULL;
    if (reader->named && equal(reader->calibration, spikey_n1.id, 4))
        known = &spikey_n1;
    return spikey_decode_payload(payload, size, samples, known, reader->named, work);
}

static spikey_status restore_single(const spikey_reader *reader, uint8_t *out, spikey_work *work)
{
    const uint8_t *payload = reader->data + reader->header;
    size_t size = reader->size - reader->header - 4;
    uint32_t sum = crc(0, reader->data, reader->header + size);
    spikey_status status;
    if (reader->wrapper == BYTES) {
        status = unpack(out, reader->frames, payload, size);
        if (status == SPIKEY_OK)
            sum = crc(sum, out, (size_t)reader->frames);
    } else {
        spikey_samples samples;
        samples.at = out + reader->head;
        samples.type = reader->type;
        samples.frames = (uint32_t)reader->frames;
        samples.channels = reader->channels;
        samples.stride = (size_t)reader->channels * spikey_size(reader->type);
        status = decode_samples(reader, payload, size, samples, work);
        if (status == SPIKEY_OK)
            sum = crc_samples(sum, samples);
    }
    if (status != SPIKEY_OK)
        return status;
    return same(sum, (uint32_t)little(payload + size, 4)) ? SPIKEY_OK : SPIKEY_DAMAGED;
}

static spikey_status restore_block(const spikey_reader *reader, const block *b, uint8_t *out, spikey_work *work)
{
    const uint8_t *payload = reader->data + b->offset;
    size_t size = (size_t)b->size, width = spikey_size(reader->type);
    uint32_t sum = crc(crc(0, reader->data + b->fields, b->length), payload, size);
    uint64_t samples_at = reader->wrapper == BYTES ? 0 : reader->head;
    spikey_status status;

    if (b->kind == BLOCK_SAMPLES) {
        spikey_samples samples;
        samples.type = reader->type;
        samples.frames = (uint32_t)b->frames;
        samples.channels = (uint32_t)b->channels;
        samples.stride = reader->channels * width;
        samples.at = out + samples_at + b->first * samples.stride + b->first_channel * width;
        status = decode_samples(reader, payload, size, samples, work);
        if (status == SPIKEY_OK)
            sum = crc_samples(sum, samples);
    } else {
        if (b->kind == BLOCK_HEAD)
            out += reader->record_plain[0] + b->first;
        else if (b->kind == BLOCK_TAIL)
            out += reader->restored - reader->tail + reader->record_plain[1] + b->first;
        else
            out += b->first;
        status = unpack(out, b->frames, payload, size);
        if (status == SPIKEY_OK)
            sum = crc(sum, out, (size_t)b->frames);
    }
    if (status != SPIKEY_OK)
        return status;
    return same(sum, b->check) ? SPIKEY_OK : SPIKEY_DAMAGED;
}

spikey_status spikey_restore(const spikey_reader *reader, uint8_t *out, spikey_work *work)
{
    spikey_cursor cursor = cursor_at(reader, reader->entries, reader->size - FOOTER);
    spikey_status status = SPIKEY_OK;
    uint64_t number;
    unsigned which;

    if (reader->wrapper == CANONICAL)
        wav_head(out, reader->type, reader->frames, reader->channels, reader->rate);
    for (which = 0; which < 2 && reader->wrapper == WRAPPED && status == SPIKEY_OK; which++)
        if (reader->records[which] != 0)
            status = unpack(
                which == 0 ? out : out + reader->restored - reader->tail, reader->record_plain[which],
                reader->data + reader->records[which], reader->record_sizes[which]);
    if (status == SPIKEY_OK && reader->single)
        return restore_single(reader, out, work);
    for (number = 0; number < reader->blocks && status == SPIKEY_OK; number++) {
        block b = next_block(&cursor);
        int around = b.kind == BLOCK_HEAD || b.kind == BLOCK_TAIL;
        if (around ? reader->wrapper == WRAPPED : b.kind == (reader->wrapper == BYTES ? BLOCK_BYTES : BLOCK_SAMPLES))
            status = restore_block(reader, &b, out, work);
    }
    return status;
}

/* ---------------------------------------------------------------- writing */

/* Frames and channels of a full block. */
static void block_shape(const spikey_recording *recording, uint64_t *frames, uint64_t *channels)
{
    uint64_t width = recording->type == SPIKEY_INT24 ? 4 : spikey_size(recording->type), fitting;
    *frames = 1 << 17;
    *channels = 1;
    if (recording->channels == 1)
        return;
    fitting = (UINT64_C(64) << 20) / (recording->channels * width) / 256 * 256;
    *frames = fitting > 256 ? fitting : 256;
    *frames = *frames < 1 << 16 ? *frames : 1 << 16;
    if (*frames > recording->frames)
        *frames = recording->frames > 0 ? recording->frames : 1;
    *channels = (1 << 16) / *frames;
    *channels = *channels > 16 ? *channels : 16;
    *channels = *channels < recording->channels ? *channels : recording->channels;
}

static uint64_t over(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

uint64_t spikey_bound(const spikey_recording *recording)
{
    uint64_t frames, channels, blocks;
    block_shape(recording, &frames, &channels);
    blocks = over(recording->frames, frames) * over(recording->channels, channels);
    return recording->frames * recording->channels * spikey_size(recording->type) + (blocks + 1) * (2 * BLOCK_ROOM + 1)
        + 2 * FILE_ROOM + FOOTER;
}

uint64_t spikey_scratch(const spikey_recording *recording)
{
    uint64_t frames, channels;
    block_shape(recording, &frames, &channels);
    return spikey_payload_scratch(frames, channels, recording->type);
}

static void put_header(spikey_writer *out, const spikey_recording *recording, int single, int named)
{
    static const uint8_t mark[] = {'S', 'P', 'K', 'Y', 1};
    unsigned i;
    for (i = 0; i < sizeof mark; i++)
        spikey_put(out, mark[i]);
    spikey_put(out, (single ? SINGLE : 0u) | (named ? NAMED : 0u));
    spikey_put(out, recording->type | CANONICAL << 4);
    spikey_put_varint(out, recording->channels);
    spikey_put_varint(out, (uint64_t)recording->rate << 1);
    spikey_put_varint(out, recording->frames);
    for (i = 0; i < 4 && named; i++)
        spikey_put(out, spikey_n1.id[i]);
}

static void put_word(spikey_writer *out, uint64_t value, unsigned bytes)
{
    unsigned i;
    for (i = 0; i < bytes; i++)
        spikey_put(out, value >> 8 * i);
}

static spikey_samples part_of(
    const spikey_recording *recording, uint64_t first, uint64_t frames, uint64_t channel, uint64_t channels)
{
    spikey_samples samples;
    size_t width = spikey_size(recording->type);
    samples.type = recording->type;
    samples.frames = (uint32_t)frames;
    samples.channels = (uint32_t)channels;
    samples.stride = recording->channels * width;
    samples.at = (uint8_t *)recording->samples + first * samples.stride + channel * width; /* only read */
    return samples;
}

/* Put `head` in front of the payload that lies `gap` bytes behind the writer, and close the gap. */
static void join(spikey_writer *out, const spikey_writer *head, size_t gap, size_t size)
{
    uint8_t *to = out->data + out->at;
    size_t i;
    memcpy(to, head->data, head->at);
    for (i = 0; i < size; i++)
        to[head->at + i] = to[gap + i];
    out->at += head->at + size;
}

static spikey_status pack_single(
    spikey_writer *out, const spikey_recording *recording, const spikey_calibration *known, uint8_t *scratch,
    spikey_work *work)
{
    spikey_samples samples = part_of(recording, 0, recording->frames, 0, recording->channels);
    uint8_t bytes[FILE_ROOM];
    spikey_writer head = {NULL, 0, sizeof bytes}, payload = {NULL, 0, 0};
    spikey_status status;
    int used;

    head.data = bytes;
    payload.data = out->data + FILE_ROOM;
    payload.room = out->room - FILE_ROOM;
    status = spikey_encode_payload(&payload, samples, known, scratch, work, &used);
    if (status != SPIKEY_OK)
        return status;
    put_header(&head, recording, 1, used);
    join(out, &head, FILE_ROOM, payload.at);
    put_word(out, crc_samples(crc(0, out->data, out->at), samples), 4);
    return SPIKEY_OK;
}

static spikey_status pack_block(
    spikey_writer *out, const spikey_recording *recording, const uint64_t *extent, const spikey_calibration *known,
    uint8_t *scratch, spikey_work *work)
{
    spikey_samples samples = part_of(recording, extent[0], extent[1], extent[2], extent[3]);
    uint8_t bytes[BLOCK_ROOM];
    spikey_writer head = {NULL, 5, sizeof bytes}, payload = {NULL, 0, 0};
    spikey_status status;
    uint32_t sum;
    int used, i;

    if (out->room - out->at < BLOCK_ROOM)
        return SPIKEY_ROOM;
    head.data = bytes;
    payload.data = out->data + out->at + BLOCK_ROOM;
    payload.room = out->room - out->at - BLOCK_ROOM;
    status = spikey_encode_payload(&payload, samples, known, scratch, work, &used);
    if (status != SPIKEY_OK)
        return status;
    memcpy(bytes, "\xb5SB\n", 4);
    spikey_put_varint(&head, BLOCK_SAMPLES);
    for (i = 0; i < 4; i++)
        spikey_put_varint(&head, extent[i]);
    spikey_put_varint(&head, payload.at);
    sum = crc(0, bytes + 5, head.at - 5);
    put_word(&head, crc_samples(crc(sum, payload.data, payload.at), samples), 4);
    bytes[4] = (uint8_t)(head.at - 5);
    put_word(&head, crc(0, bytes + 5, head.at - 5), 4);
    join(out, &head, BLOCK_ROOM, payload.at);
    return SPIKEY_OK;
}

/* The index of the blocks that `out` holds after a header of `header` bytes, and the footer. */
static void put_index(spikey_writer *out, size_t header, uint64_t blocks)
{
    size_t start = out->at, at = header + 4, i;
    spikey_cursor cursor = {NULL, 0, 0, 0};
    put_word(out, UINT64_C(0x0A4953B5), 4); /* the mark b5 53 49 0a */
    spikey_put_varint(out, header);
    for (i = 0; i < header; i++)
        spikey_put(out, out->data[i]);
    spikey_put_varint(out, blocks);
    for (; blocks > 0 && out->at <= out->room; blocks--) {
        size_t length = out->data[at + 4];
        uint64_t size = 0;
        int field;
        cursor.data = out->data;
        cursor.at = at + 5;
        cursor.size = start;
        for (field = 0; field < 6; field++)
            size = spikey_varint(&cursor, UINT64_C(1) << 62);
        for (i = 0; i < length; i++)
            spikey_put(out, out->data[at + 5 + i]);
        at += 5 + length + 4;
        spikey_put_varint(out, at);
        at += (size_t)size;
    }
    if (out->at > out->room)
        return;
    at = out->at;
    put_word(out, start, 8);
    put_word(out, crc(0, out->data + start, at - start), 4);
    put_word(out, UINT64_C(0x53504B59), 4); /* YKPS */
}

spikey_status spikey_pack(
    const spikey_recording *recording, int calibrated, uint8_t *out, uint64_t room, uint8_t *scratch,
    uint64_t scratch_room, spikey_work *work, uint64_t *size)
{
    const spikey_calibration *known = calibrated ? &spikey_n1 : NULL;
    uint64_t frames, channels, first, channel, extent[4], blocks = 0;
    uint8_t head[WAV_HEAD];
    spikey_writer writer = {NULL, 0, 0};
    spikey_status status = SPIKEY_OK;
    size_t header;

    *size = 0;
    if (recording->channels == 0 || recording->type > SPIKEY_UINT32)
        return SPIKEY_USAGE;
    if (wav_head(head, recording->type, recording->frames, recording->channels, recording->rate) != SPIKEY_OK)
        return SPIKEY_UNSUPPORTED;
    if (room < spikey_bound(recording) || scratch_room < spikey_scratch(recording))
        return SPIKEY_ROOM;
    block_shape(recording, &frames, &channels);
    writer.data = out;
    writer.room = (size_t)room;
    if (recording->frames <= frames && recording->channels <= channels) {
        status = pack_single(&writer, recording, known, scratch, work);
    } else {
        put_header(&writer, recording, 0, calibrated);
        header = writer.at;
        put_word(&writer, crc(0, out, header), 4);
        for (first = 0; first < recording->frames && status == SPIKEY_OK; first += frames) {
            uint64_t left = recording->frames - first;
            for (channel = 0; channel < recording->channels && status == SPIKEY_OK; channel += channels, blocks++) {
                uint64_t beside = recording->channels - channel;
                extent[0] = first;
                extent[1] = left < frames ? left : frames;
                extent[2] = channel;
                extent[3] = beside < channels ? beside : channels;
                status = pack_block(&writer, recording, extent, known, scratch, work);
            }
        }
        if (status == SPIKEY_OK)
            put_index(&writer, header, blocks);
    }
    if (status == SPIKEY_OK && writer.at > writer.room)
        status = SPIKEY_ROOM;
    if (status == SPIKEY_OK)
        *size = writer.at;
    return status;
}
