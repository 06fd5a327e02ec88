/* One block: samples to a payload and back (sections 7 and 8 of docs/format.md), and the encoder's choices. */
#include "container.h"

#include <string.h>

#define SPIKEY_FILE_TABLES
#include "tables.h"

#define N1_CODES 1024
#define N1_WIDTHS ((int32_t)(sizeof log2_widths / sizeof log2_widths[0]))
#define MODELLED_BITS 20
#define LPC 1
#define DELTA 64
#define CALIBRATED 8
#define REFERRING 16
#define LANES 2        /* of what is encoded */
#define SAMPLED 16384  /* codes that tell what a channel is like */
#define SPARE 80       /* bytes of a stream beyond its share of the samples */

#if SPIKEY_LANES < LANES
#error "files need SPIKEY_LANES of at least 2, and 16 to read all"
#endif

/* ---------------------------------------------------------------- fields */

const uint8_t *spikey_take(spikey_cursor *cursor, uint64_t count)
{
    const uint8_t *start = cursor->data + cursor->at;
    if (count > cursor->size - cursor->at) {
        cursor->bad = 1;
        return NULL;
    }
    cursor->at += (size_t)count;
    return start;
}

uint8_t spikey_get(spikey_cursor *cursor)
{
    const uint8_t *byte = spikey_take(cursor, 1);
    return byte == NULL ? 0 : *byte;
}

uint64_t spikey_varint(spikey_cursor *cursor, uint64_t limit)
{
    uint64_t value = 0;
    unsigned shift = 0, byte;
    do {
        byte = spikey_get(cursor);
        value |= (uint64_t)(byte & 127) << shift;
        shift += 7;
    } while (byte > 127 && shift < 70);
    if (byte > 127 || (shift == 70 && byte > 0) || value > limit) {
        cursor->bad = 1;
        return 0;
    }
    return value;
}

/* A zig-zag number, modulo 2^64; 0 and `bad` where its magnitude is beyond 2^32. */
static uint64_t get_signed(spikey_cursor *cursor)
{
    uint64_t value = spikey_varint(cursor, UINT64_C(1) << 33);
    return value & 1 ? ~(value >> 1) : value >> 1;
}

void spikey_put(spikey_writer *writer, uint64_t byte)
{
    if (writer->at < writer->room)
        writer->data[writer->at] = (uint8_t)(byte & 255);
    writer->at++;
}

void spikey_put_varint(spikey_writer *writer, uint64_t value)
{
    for (; value > 127; value >>= 7)
        spikey_put(writer, (value & 127) | 128);
    spikey_put(writer, value);
}

static void put_signed(spikey_writer *writer, int64_t value)
{
    spikey_put_varint(writer, value >= 0 ? 2 * (uint64_t)value : 2 * (uint64_t)(-(value + 1)) + 1);
}

static unsigned bits_of(uint64_t x)
{
    unsigned count = 0;
    for (; x > 0; x >>= 1)
        count++;
    return count;
}

/* ---------------------------------------------------------------- samples */

unsigned spikey_size(unsigned type)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 3, 4, 4};
    return sizes[type];
}

static int64_t get_sample(const spikey_samples *samples, uint32_t frame, uint32_t channel)
{
    unsigned size = spikey_size(samples->type), i;
    const uint8_t *at = samples->at + frame * samples->stride + channel * size;
    uint32_t value = 0, sign;
    if (samples->type == SPIKEY_INT16) /* the usual one */
        return (int64_t)((uint32_t)(at[0] | at[1] << 8) ^ 0x8000u) - 0x8000;
    sign = samples->type == SPIKEY_INT24 ? 0x800000u : samples->type == SPIKEY_INT32 ? 0x80000000u : 0;
    for (i = 0; i < size; i++)
        value |= (uint32_t)at[i] << 8 * i;
    return (int64_t)(value ^ sign) - (int64_t)sign;
}

static void put_sample(const spikey_samples *samples, uint32_t frame, uint32_t channel, uint64_t value)
{
    unsigned size = spikey_size(samples->type), i;
    uint8_t *at = samples->at + frame * samples->stride + channel * size;
    for (i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i & 255);
}

/* ---------------------------------------------------------------- levels */

static int64_t n1_value(int64_t code)
{
    return (65535 * code - 32768 * INT64_C(1023)) / 1023; /* C rounds toward zero */
}

static int64_t rescaled_value(const spikey_levels *levels, uint32_t code)
{
    int64_t product = (int64_t)levels->step * ((int64_t)code - levels->zero) + levels->phase;
    return (int64_t)levels->offset + product / levels->denominator; /* C rounds toward zero */
}

static uint64_t value_of(const spikey_levels *levels, uint32_t code, uint64_t low)
{
    if (levels->kind == 5)
        return (uint64_t)rescaled_value(levels, code);
    if (levels->kind == 0)
        return (uint64_t)n1_value(code);
    if (levels->kind == 2)
        return levels->offset + levels->table[code];
    return levels->offset + levels->step * ((uint64_t)code << levels->bits | low);
}

static uint32_t code_of(const spikey_levels *levels, int64_t value, uint64_t *low)
{
    uint64_t above = (uint64_t)value - levels->offset, code;
    *low = 0;
    if (levels->kind == 0)
        return (uint32_t)((value >> 6) + 512);
    if (levels->kind == 2) {
        uint32_t first = 0, last = levels->codes - 1;
        while (first < last) {
            uint32_t middle = (first + last + 1) / 2;
            if (levels->table[middle] <= above)
                first = middle;
            else
                last = middle - 1;
        }
        return first;
    }
    code = levels->step > 1 ? above / levels->step : above;
    *low = code & ((UINT64_C(1) << levels->bits) - 1);
    return (uint32_t)(code >> levels->bits);
}

/* A channel's description. */
static spikey_status get_channel(spikey_cursor *cursor, spikey_levels *levels)
{
    unsigned flags = spikey_get(cursor);
    uint64_t value, last;
    levels->kind = flags & 7;
    levels->calibrated = (flags & CALIBRATED) != 0;
    levels->codes = N1_CODES;
    levels->bits = 0;
    if (flags >= 32 || (levels->kind > 2 && levels->kind != 5))
        return SPIKEY_UNSUPPORTED;
    if (flags & REFERRING)
        return SPIKEY_UNSUPPORTED; /* to other channels: all of a block would have to be kept */
    if (levels->kind == 1) {
        levels->offset = get_signed(cursor);
        levels->step = spikey_varint(cursor, UINT64_C(1) << 32) + 1;
        value = spikey_varint(cursor, UINT64_C(1) << 32);
        levels->bits = (uint8_t)spikey_varint(cursor, 12);
        if (value >> levels->bits >= UINT64_C(1) << MODELLED_BITS)
            cursor->bad = 1;
        levels->codes = (uint32_t)(value >> levels->bits) + 1;
    } else if (levels->kind == 2) {
        uint32_t i;
        levels->offset = get_signed(cursor);
        levels->codes = (uint32_t)spikey_varint(cursor, SPIKEY_TABLE - 1) + 1;
        levels->table[0] = 0;
        for (i = 1, last = 0; i < levels->codes && !cursor->bad; i++) {
            last += spikey_varint(cursor, UINT64_C(1) << 32) + 1;
            if (last > UINT64_C(1) << 33)
                cursor->bad = 1;
            levels->table[i] = (uint32_t)(last & 0xFFFFFFFFu); /* no type of samples has more bits */
        }
    } else if (levels->kind == 5) {
        levels->denominator = (uint32_t)spikey_varint(cursor, 4095) + 1;
        levels->step = spikey_varint(cursor, UINT64_C(1) << 28) + levels->denominator;
        levels->codes = (uint32_t)spikey_varint(cursor, 65535) + 1;
        levels->zero = (uint32_t)spikey_varint(cursor, levels->codes - 1);
        levels->phase = (uint32_t)spikey_varint(cursor, levels->denominator - 1);
        levels->offset = get_signed(cursor);
        if (levels->offset + (UINT64_C(1) << 32) > UINT64_C(1) << 33)
            cursor->bad = 1;
    }
    levels->start = spikey_get(cursor);
    return cursor->bad ? SPIKEY_DAMAGED : SPIKEY_OK;
}

static void put_channel(spikey_writer *out, const spikey_levels *levels)
{
    uint32_t i;
    spikey_put(out, levels->kind | (levels->calibrated ? CALIBRATED : 0u));
    if (levels->kind == 1) {
        uint64_t end = (uint64_t)levels->codes << levels->bits;
        put_signed(out, (int64_t)levels->offset);
        spikey_put_varint(out, levels->step - 1);
        spikey_put_varint(out, end - 1);
        spikey_put_varint(out, levels->bits);
    } else if (levels->kind == 2) {
        put_signed(out, (int64_t)levels->offset);
        spikey_put_varint(out, levels->codes - 1);
        for (i = 1; i < levels->codes; i++)
            spikey_put_varint(out, (uint64_t)levels->table[i] - levels->table[i - 1] - 1);
    }
    spikey_put(out, levels->start);
}

/* ---------------------------------------------------------------- decoding */

static uint64_t get_bits(const uint8_t *data, uint64_t at, unsigned count)
{
    uint64_t value = 0;
    unsigned i;
    for (i = 0; i < count; i++, at++)
        value |= (uint64_t)(data[at >> 3] >> (at & 7) & 1) << i;
    return value;
}

static uint64_t low_bytes(uint64_t frames, unsigned bits)
{
    return (frames * bits + 7) / 8;
}

static spikey_status decode_channel(
    const spikey_samples *samples, uint32_t index, const spikey_calibration *known, unsigned lanes, int delta,
    const uint8_t *lows, spikey_work *work)
{
    const spikey_levels *levels = &work->levels;
    uint32_t frames = samples->frames, steps = (frames + lanes - 1) / lanes, t, lane, code = 0;
    const spikey_calibration *used = levels->calibrated ? known : NULL;
    if (levels->codes > 1) {
        if (used != NULL && used->codes != levels->codes)
            return SPIKEY_DAMAGED;
        if (spikey_start(&work->channel, levels->codes, used, levels->start, lanes, delta) != SPIKEY_OK)
            return SPIKEY_UNSUPPORTED;
    }
    for (t = 0; t < steps; t++) {
        for (lane = 0; lane < lanes; lane++) {
            uint32_t frame = lane * steps + t;
            uint64_t low;
            if (frame >= frames)
                continue;
            if (levels->codes > 1)
                code = spikey_decode(&work->channel, &work->coder.decoders[lane], lane);
            low = levels->bits ? get_bits(lows, (uint64_t)frame * levels->bits, levels->bits) : 0;
            put_sample(samples, frame, index, value_of(levels, code, low));
        }
        if (levels->codes > 1)
            spikey_step(&work->channel);
    }
    return SPIKEY_OK;
}

spikey_status spikey_decode_payload(
    const uint8_t *payload, size_t size, spikey_samples samples, const spikey_calibration *known, int named,
    spikey_work *work)
{
    spikey_cursor cursor = {NULL, 0, 0, 0}, again;
    unsigned method = 0, lanes, lane;
    uint64_t sizes[SPIKEY_LANES], all_lows = 0;
    size_t row = spikey_size(samples.type) * (size_t)samples.channels;
    const uint8_t *lows;
    spikey_status status;
    uint32_t index;

    cursor.data = payload;
    cursor.size = size;
    method = spikey_get(&cursor);
    if (cursor.bad)
        return SPIKEY_DAMAGED;
    if (method == 0) {
        if (size - 1 != row * (uint64_t)samples.frames)
            return SPIKEY_DAMAGED;
        for (index = 0; index < samples.frames; index++)
            memcpy(samples.at + index * samples.stride, payload + 1 + index * row, row);
        return SPIKEY_OK;
    }
    lanes = spikey_get(&cursor);
    if ((method & 15) != LPC || (method & 0xB0) != 0 || lanes < 1 || lanes > SPIKEY_LANES)
        return SPIKEY_UNSUPPORTED; /* another predictor or coder */
    again = cursor;
    for (index = 0; index < samples.channels; index++) {
        status = get_channel(&cursor, &work->levels);
        if (status != SPIKEY_OK)
            return status;
        if (work->levels.calibrated && known == NULL)
            return named ? SPIKEY_UNSUPPORTED : SPIKEY_DAMAGED;
        all_lows += low_bytes(samples.frames, work->levels.bits);
    }
    for (lane = 0; lane + 1 < lanes; lane++)
        sizes[lane] = spikey_varint(&cursor, size);
    lows = spikey_take(&cursor, all_lows);
    for (lane = 0; lane < lanes && !cursor.bad; lane++) {
        uint64_t count = lane + 1 < lanes ? sizes[lane] : cursor.size - cursor.at;
        const uint8_t *stream = spikey_take(&cursor, count);
        if (stream != NULL)
            spikey_decoder_start(&work->coder.decoders[lane], stream, (size_t)count);
    }
    if (cursor.bad)
        return SPIKEY_DAMAGED;
    for (index = 0; index < samples.channels; index++) {
        get_channel(&again, &work->levels);
        status = decode_channel(&samples, index, known, lanes, (method & DELTA) != 0, lows, work);
        if (status != SPIKEY_OK)
            return status;
        lows += low_bytes(samples.frames, work->levels.bits);
    }
    return SPIKEY_OK;
}

/* ---------------------------------------------------------------- the encoder's choices */

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static int fits_n1(const spikey_samples *samples, uint32_t channel)
{
    uint32_t frame;
    if (samples->type != SPIKEY_INT16 || samples->frames <= 16)
        return 0;
    for (frame = 0; frame < samples->frames; frame++) {
        int64_t value = get_sample(samples, frame, channel);
        if (n1_value((value >> 6) + 512) != value)
            return 0;
    }
    return 1;
}

/* log2 of x > 0 in 1/2^28. */
static int64_t log2_of(uint64_t x)
{
    unsigned whole = bits_of(x) - 1;
    int64_t result = (int64_t)whole << 28, bit;
    x = whole > 31 ? x >> (whole - 31) : x << (31 - whole);
    for (bit = 1 << 27; bit > 0; bit >>= 1) {
        x = x * x >> 31;
        if (x >> 32) {
            x >>= 1;
            result += bit;
        }
    }
    return result;
}

/* Put a value into the sorted table of `count`, unless it is there; the new count, or SPIKEY_TABLE + 1 if it is full. */
static uint32_t insert(uint32_t *table, uint32_t count, uint32_t value)
{
    uint32_t first = 0, last = count, i;
    while (first < last) {
        uint32_t middle = (first + last) / 2;
        if (table[middle] < value)
            first = middle + 1;
        else
            last = middle;
    }
    if (first < count && table[first] == value)
        return count;
    if (count == SPIKEY_TABLE)
        return SPIKEY_TABLE + 1;
    for (i = count; i > first; i--)
        table[i] = table[i - 1];
    table[first] = value;
    return count + 1;
}

/* Whether the values that occur are so few of `all` that listing them pays; then they are the levels' table. */
static int worthwhile_table(const spikey_samples *samples, uint32_t channel, uint64_t all, spikey_levels *levels)
{
    uint32_t count = 0, frame;
    int64_t saved;
    if (all < 4)
        return 0;
    for (frame = 0; frame < samples->frames; frame++) {
        uint64_t above = (uint64_t)get_sample(samples, frame, channel) - levels->offset;
        if (frame == 4096 && 4 * (uint64_t)count > all)
            return 0;
        count = insert(levels->table, count, (uint32_t)above);
        if (count > SPIKEY_TABLE)
            return 0;
    }
    if ((frame <= 4096 && 4 * (uint64_t)count > all) || 2 * (uint64_t)count > all)
        return 0;
    saved = samples->frames * (log2_of(all) - log2_of(count)); /* bits in 1/2^28 */
    if (((int64_t)24 * count) << 28 > saved)
        return 0;
    levels->codes = count;
    return 1;
}

static void find_levels(const spikey_samples *samples, uint32_t channel, spikey_levels *levels)
{
    int64_t low = get_sample(samples, 0, channel), high = low;
    uint64_t step = 0, all;
    uint32_t frame;
    unsigned width;

    levels->kind = 0;
    levels->codes = N1_CODES;
    levels->bits = 0;
    levels->offset = 0;
    levels->step = 1;
    if (fits_n1(samples, channel))
        return;
    for (frame = 1; frame < samples->frames; frame++) {
        int64_t value = get_sample(samples, frame, channel);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    levels->kind = 1;
    levels->offset = (uint64_t)low;
    levels->codes = 1;
    if (high == low)
        return;
    for (frame = 0; frame < samples->frames && step != 1; frame++)
        step = common_divisor((uint64_t)(get_sample(samples, frame, channel) - low), step);
    all = (uint64_t)(high - low) / step + 1;
    if (worthwhile_table(samples, channel, all, levels)) {
        levels->kind = 2;
        return;
    }
    width = bits_of(all - 1);
    levels->step = step;
    levels->bits = (uint8_t)(width > MODELLED_BITS ? width - MODELLED_BITS : 0);
    levels->codes = (uint32_t)((all - 1) >> levels->bits) + 1;
}

/* Whether codes come from such a converter: wide codes then occur more often than their neighbours. */
static int suits(const spikey_samples *samples, uint32_t channel, const spikey_levels *levels,
    const spikey_calibration *calibration)
{
    uint32_t count = samples->frames < SAMPLED ? samples->frames : SAMPLED, frame;
    int64_t total = 0;
    uint64_t low;
    for (frame = 0; frame < count; frame++) {
        uint32_t code = code_of(levels, get_sample(samples, frame, channel), &low);
        int32_t width = calibration->edges[code + 1] - calibration->edges[code];
        total += log2_widths[width < N1_WIDTHS ? width : N1_WIDTHS - 1];
    }
    return total >= 0;
}

/* The byte for the scale to start from: 8 (log2(1.2 mean + 1/1000) + 4), rounded, of the codes' first differences. */
static uint8_t starting_scale(const spikey_samples *samples, uint32_t channel, const spikey_levels *levels)
{
    uint32_t count = samples->frames < SAMPLED ? samples->frames : SAMPLED, frame, last, code;
    uint64_t sum = 0, low, mean;
    int64_t byte;
    unsigned up, width, i;
    if (count < 2)
        return 40;
    last = code_of(levels, get_sample(samples, 0, channel), &low);
    for (frame = 1; frame < count; frame++, last = code) {
        code = code_of(levels, get_sample(samples, frame, channel), &low);
        sum += code > last ? code - last : last - code;
    }
    sum = 1200 * sum + (count - 1); /* over 1000 (count - 1) it is 1.2 mean + 1/1000 */
    up = 62 - bits_of(sum);
    mean = (sum << up) / (1000 * (uint64_t)(count - 1));
    width = bits_of(mean) - 1;
    mean = width > 37 ? mean >> (width - 37) : mean << (37 - width);
    byte = 8 * ((int64_t)width - (int64_t)up + 4);
    for (i = 0; i < 8; i++)
        byte += mean >= eighths[i];
    return (uint8_t)(byte < 0 ? 0 : byte > 191 ? 191 : byte);
}

/* ---------------------------------------------------------------- encoding */

/* Bytes of a block's samples as NumPy holds them, which has no type of 24 bits: what a payload must be less than. */
static uint64_t memory_bytes(uint64_t frames, uint64_t channels, unsigned type)
{
    return frames * channels * (type == SPIKEY_INT24 ? 4 : spikey_size(type));
}

uint64_t spikey_payload_scratch(uint64_t frames, uint64_t channels, unsigned type)
{
    return 2 * memory_bytes(frames, channels, type) + LANES * SPARE;
}

/* Find out what to state of each channel, and write it. */
static void describe(
    spikey_writer *front, const spikey_samples *samples, const spikey_calibration *known, spikey_levels *levels,
    int *used, uint64_t *lows)
{
    uint32_t index;
    *used = 0;
    *lows = 0;
    for (index = 0; index < samples->channels; index++) {
        find_levels(samples, index, levels);
        levels->calibrated = levels->kind == 0 && known != NULL && suits(samples, index, levels, known);
        levels->start = starting_scale(samples, index, levels);
        put_channel(front, levels);
        *used |= levels->calibrated;
        *lows += low_bytes(samples->frames, levels->bits);
    }
}

/* Code all channels as `front` describes them. */
static void encode_channels(
    const spikey_writer *front, const spikey_samples *samples, const spikey_calibration *known, spikey_work *work)
{
    spikey_cursor cursor = {NULL, 2, 0, 0};
    uint32_t index, t, lane, steps = (samples->frames + LANES - 1) / LANES;
    uint64_t low;
    cursor.data = front->data;
    cursor.size = front->at;
    for (index = 0; index < samples->channels; index++) {
        const spikey_levels *levels = &work->levels;
        get_channel(&cursor, &work->levels);
        if (levels->codes == 1)
            continue;
        spikey_start(&work->channel, levels->codes, levels->calibrated ? known : NULL, levels->start, LANES, 1);
        for (t = 0; t < steps; t++) {
            for (lane = 0; lane < LANES; lane++) {
                uint32_t frame = lane * steps + t;
                if (frame < samples->frames) {
                    uint32_t code = code_of(levels, get_sample(samples, frame, index), &low);
                    spikey_encode(&work->channel, &work->coder.encoders[lane], lane, code);
                }
            }
            spikey_step(&work->channel);
        }
    }
}

static void put_lows(
    spikey_writer *out, const spikey_writer *front, const spikey_samples *samples, spikey_levels *levels)
{
    spikey_cursor cursor = {NULL, 2, 0, 0};
    uint32_t index, frame;
    cursor.data = front->data;
    cursor.size = front->at;
    for (index = 0; index < samples->channels; index++) {
        uint64_t pending = 0, low;
        unsigned count = 0;
        get_channel(&cursor, levels);
        for (frame = 0; frame < samples->frames && levels->bits > 0; frame++) {
            code_of(levels, get_sample(samples, frame, index), &low);
            pending |= low << count;
            for (count += levels->bits; count >= 8; count -= 8, pending >>= 8)
                spikey_put(out, pending);
        }
        if (count > 0)
            spikey_put(out, pending);
    }
}

static void put_bytes(spikey_writer *out, const uint8_t *data, size_t count)
{
    if (out->at <= out->room && count <= out->room - out->at)
        memcpy(out->data + out->at, data, count);
    out->at += count;
}

spikey_status spikey_encode_payload(
    spikey_writer *out, spikey_samples samples, const spikey_calibration *known, uint8_t *scratch, spikey_work *work,
    int *used)
{
    uint64_t memory = memory_bytes(samples.frames, samples.channels, samples.type), lows = 0, total;
    size_t row = spikey_size(samples.type) * (size_t)samples.channels, plain = row * samples.frames;
    size_t capacity = (size_t)(memory / LANES) + 64, sizes[LANES];
    spikey_writer front = {NULL, 0, 0};
    unsigned lane;
    int smaller = plain > 0;
    uint32_t frame;

    front.data = scratch;
    front.room = (size_t)memory;
    *used = 0;
    if (smaller) {
        spikey_put(&front, LPC | DELTA);
        spikey_put(&front, LANES);
        describe(&front, &samples, known, &work->levels, used, &lows);
        smaller = front.at <= front.room;
    }
    if (smaller) {
        for (lane = 0; lane < LANES; lane++)
            spikey_encoder_start(
                &work->coder.encoders[lane], scratch + memory + lane * (capacity + 16), capacity + 16);
        encode_channels(&front, &samples, known, work);
        total = front.at + lows;
        for (lane = 0; lane < LANES; lane++) {
            smaller &= work->coder.encoders[lane].at <= capacity;
            if (smaller)
                spikey_encoder_finish(&work->coder.encoders[lane], &sizes[lane]);
            else
                sizes[lane] = 0;
            total += sizes[lane] + (lane + 1 < LANES ? (bits_of(sizes[lane] | 1) + 6) / 7 : 0);
        }
        smaller &= total < memory && total <= plain;
    }
    if (!smaller) {
        *used = 0;
        spikey_put(out, 0);
        for (frame = 0; frame < samples.frames; frame++)
            put_bytes(out, samples.at + frame * samples.stride, row);
    } else {
        put_bytes(out, front.data, front.at);
        for (lane = 0; lane + 1 < LANES; lane++)
            spikey_put_varint(out, sizes[lane]);
        put_lows(out, &front, &samples, &work->levels);
        for (lane = 0; lane < LANES; lane++)
            put_bytes(out, work->coder.encoders[lane].out, sizes[lane]);
    }
    return out->at <= out->room ? SPIKEY_OK : SPIKEY_ROOM;
}
