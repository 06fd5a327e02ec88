/* The codec of spikey.h: sections 10 to 12, 16 and 17 of docs/format.md. */
#include "spikey.h"

#include <string.h>

#define SPIKEY_CODEC_TABLES
#include "tables.h"

/* Shifting a negative number to the right must round down, as it does on every known compiler. */
typedef char shifts_round_down[(-3 >> 1) == -2 ? 1 : -1];

#define SCALE_MIN 131072
#define SCALE_MAX (26 * 65536 - 1)
#define FARTHEST (INT64_C(1) << 28)
#define MASS (UINT32_C(1) << 24)
#define ESCAPE 256
#define SMALLEST (UINT64_C(1) << 40)
#define FULL (UINT64_C(1) << 56)

const spikey_calibration spikey_n1 = {
    n1_edges, n1_prior, sizeof n1_edges / sizeof n1_edges[0] - 1, sizeof n1_prior / sizeof n1_prior[0], N1_ID};

static inline int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

static unsigned bits(uint32_t x)
{
    unsigned count = 0;
    for (; x > 0; x >>= 1)
        count++;
    return count;
}

/* ---------------------------------------------------------------- linear prediction */

static int64_t divide_down(int64_t a, int64_t b) /* b > 0 */
{
    int64_t quotient = a / b;
    return quotient * b > a ? quotient - 1 : quotient;
}

/* `solve` of section 12, by Levinson and Durbin. */
static void solve(const int64_t *r, int32_t *weights)
{
    int32_t a[SPIKEY_ORDER + 1], x[SPIKEY_ORDER] = {0}, y[SPIKEY_ORDER];
    int64_t power = r[0] + (r[0] >> 13) + 1, error;
    unsigned down = 0, up = 0;
    int i, j;

    while (power >> down >= INT64_C(1) << 30)
        down++;
    while (power << up < INT64_C(1) << 29)
        up++;
    error = (power >> down) << up;
    a[0] = (int32_t)error;
    for (i = 1; i <= SPIKEY_ORDER; i++)
        a[i] = (int32_t)clamp((r[i] >> down) * (INT64_C(1) << up), -error, error);
    for (i = 0; i < SPIKEY_ORDER && error >= 256; i++) {
        int64_t total = a[i + 1] * (INT64_C(1) << 24), gain;
        for (j = 0; j < i; j++)
            total -= (int64_t)x[j] * a[i - j];
        gain = divide_down(total, error);
        if (gain >= INT64_C(1) << 24 || gain <= -(INT64_C(1) << 24))
            break;
        for (j = 0; j < i; j++) {
            int64_t next = x[j] - ((gain * x[i - 1 - j]) >> 24);
            if (next > INT64_C(1) << 27 || next < -(INT64_C(1) << 27))
                break;
            y[j] = (int32_t)next;
        }
        if (j < i)
            break;
        for (j = 0; j < i; j++)
            x[j] = y[j];
        x[i] = (int32_t)gain;
        error -= (((error * gain) >> 24) * gain) >> 24;
    }
    for (j = 0; j < SPIKEY_ORDER; j++)
        weights[SPIKEY_ORDER - 1 - j] = (x[j] + 128) >> 8;
}

static int64_t predict(const spikey_channel *channel, unsigned lane)
{
    const int32_t *past = channel->signal[lane] + channel->filled;
    int64_t total = 32768;
    int i;
    for (i = 0; i < SPIKEY_ORDER; i++)
        total += (int64_t)channel->weights[i] * past[i];
    return clamp(channel->last[lane] + (total >> 16), -FARTHEST, FARTHEST);
}

static void observe(spikey_channel *channel, unsigned lane, int32_t position)
{
    int32_t change = position - channel->last[lane];
    if (channel->delta) {
        channel->last[lane] = position;
        change = channel->started ? change : 0;
    }
    channel->signal[lane][SPIKEY_ORDER + channel->filled] = change;
}

/* Sum the products of the chunk and make room for the next one. */
static void gather(spikey_channel *channel)
{
    unsigned lane;
    int count = channel->filled, k, t;
    for (lane = 0; lane < channel->lanes; lane++) {
        int32_t *signal = channel->signal[lane];
        int64_t *products = channel->products[lane];
        for (k = 0; k <= SPIKEY_ORDER; k++) {
            int64_t total = 0;
            for (t = SPIKEY_ORDER; t < SPIKEY_ORDER + count; t++)
                total += (int64_t)signal[t] * signal[t - k];
            products[k] += total;
        }
        for (t = 0; t < SPIKEY_ORDER; t++)
            signal[t] = signal[t + count];
        memset(signal + SPIKEY_ORDER, 0, SPIKEY_CHUNK * sizeof signal[0]); /* for a lane that has ended */
    }
    channel->filled = 0;
}

static void adapt(spikey_channel *channel, int full)
{
    unsigned width = bits(channel->codes), shift = width > 10 ? 2 * (width - 10) : 0, lane;
    int64_t *r = channel->correlations;
    int k;
    for (k = 0; k <= SPIKEY_ORDER; k++) {
        if (full)
            r[k] -= (r[k] * 13) >> 10;
        for (lane = 0; lane < channel->lanes; lane++) {
            r[k] += channel->products[lane][k] >> shift;
            channel->products[lane][k] = 0;
        }
    }
    solve(r, channel->weights);
}

void spikey_step(spikey_channel *channel)
{
    unsigned whole = SPIKEY_SEGMENT / channel->lanes, length = channel->length;
    channel->started = 1;
    channel->filled++;
    channel->done++;
    if (channel->filled < SPIKEY_CHUNK && channel->done < length)
        return;
    gather(channel);
    if (channel->done < length)
        return;
    adapt(channel, length == whole);
    channel->done = 0;
    channel->length = (uint16_t)(2 * length < whole ? 2 * length : whole);
}

/* Correlations to start from: (prior[k] * 1000 * s * s) >> (16 + shift), whose product may need more than 64 bits. */
static void expect(spikey_channel *channel, int64_t s, unsigned shift)
{
    int64_t square = s * s, high = square >> 18, low = square & ((1 << 18) - 1);
    int k;
    for (k = 0; k <= SPIKEY_ORDER && k < channel->calibration->lags; k++) {
        int64_t prior = channel->calibration->prior[k] * INT64_C(1000);
        if (shift <= 2)
            channel->correlations[k] = prior * high * (4 >> shift) + ((prior * low) >> (16 + shift));
        else
            channel->correlations[k] = (prior * high + ((prior * low) >> 18)) >> (shift - 2);
    }
}

spikey_status spikey_start(
    spikey_channel *channel, uint32_t codes, const spikey_calibration *calibration, unsigned scale, unsigned lanes,
    int delta)
{
    unsigned width = bits(codes), whole, lane;
    int32_t stated;

    if (codes < 2 || codes > SPIKEY_WIDEST || scale > 255 || lanes < 1 || lanes > SPIKEY_LANES || lanes > 16)
        return SPIKEY_USAGE;
    if (calibration != NULL && calibration->codes != codes)
        return SPIKEY_USAGE;
    memset(channel, 0, sizeof *channel);
    channel->calibration = calibration;
    channel->codes = codes;
    channel->lanes = (uint8_t)lanes;
    channel->delta = delta != 0;
    whole = SPIKEY_SEGMENT / lanes;
    channel->length = (uint16_t)clamp(32 / lanes, 1, whole);
    stated = (int32_t)clamp(SCALE_MIN + (int32_t)(scale << 13), SCALE_MIN, SCALE_MAX);
    for (lane = 0; lane < lanes; lane++) {
        channel->last[lane] = (int32_t)(32 * codes);
        channel->scale[lane] = stated;
    }
    if (calibration != NULL && delta) {
        int64_t deviation = ((INT64_C(1) << 38) / reciprocals[(stated - SCALE_MIN) >> 11]) >> 6;
        expect(channel, clamp(deviation, 0, 64 * (int64_t)codes), width > 10 ? 2 * (width - 10) : 0);
    }
    solve(channel->correlations, channel->weights);
    return SPIKEY_OK;
}

/* ---------------------------------------------------------------- density */

/* The density of one sample, over the codes of a narrow alphabet or the window of a wide one (section 16). */
typedef struct {
    const int32_t *edges;  /* or NULL: evenly spaced */
    int64_t location;
    uint32_t reciprocal;
    uint32_t mass;         /* what the bell shape fills; each code has one count more */
    uint32_t top;          /* counts of all codes */
    uint32_t count;        /* codes */
    uint32_t first;        /* of the window, in coarse codes */
    unsigned shift;        /* low bits of a code that are coded evenly */
} density;

static inline int64_t standard(int64_t distance, uint32_t reciprocal)
{
    return clamp((distance * (int64_t)reciprocal) >> 16, -(INT64_C(1) << 19), (INT64_C(1) << 19) - 1);
}

/* Counts of all codes below `code`. */
static inline uint32_t below(const density *d, uint32_t code)
{
    int64_t edge;
    uint32_t offset, low, high;
    if (code == 0)
        return 0;
    if (code >= d->count)
        return d->top;
    edge = d->edges != NULL ? d->edges[code] : ((int64_t)(d->first + code) << d->shift) * 64 - 32;
    offset = (uint32_t)(standard(edge - d->location, d->reciprocal) + (INT64_C(1) << 19));
    low = (uint32_t)((uint64_t)bell[offset >> 9] * d->mass >> 24);
    high = (uint32_t)((uint64_t)bell[(offset >> 9) + 1] * d->mass >> 24);
    return low + ((high - low) * (offset & 511) >> 9) + code;
}

static density make_density(const spikey_channel *channel, int64_t location, unsigned step)
{
    density d = {NULL, 0, 0, 0, MASS, 0, 0, 0};
    d.location = location;
    d.reciprocal = reciprocals[step];
    d.count = channel->codes;
    if (channel->calibration != NULL)
        d.edges = channel->calibration->edges;
    if (d.count > SPIKEY_NARROW) {
        int64_t coarse;
        d.shift = (unsigned)clamp((int64_t)(step >> 5) - 11, 0, 10);
        coarse = ((channel->codes - 1) >> d.shift) + 1;
        d.first = (uint32_t)clamp(
            (((location + 32) >> 6) >> d.shift) - SPIKEY_NARROW / 2, 0, clamp(coarse - SPIKEY_NARROW, 0, coarse));
        d.count = SPIKEY_NARROW;
        d.top = MASS - ESCAPE;
    }
    d.mass = d.top - d.count;
    return d;
}

/* Where a target lies, about: any answer will do, a good one is found from faster. */
static uint32_t guess(const density *d, uint32_t target, unsigned step)
{
    const int64_t last = (int64_t)d->count - 1;
    /* The table of reciprocals read backwards is one of scales. */
    int64_t place = d->location + ((quantiles[target >> 15] * (int64_t)reciprocals[767 - step]) >> 14);
    int64_t code = clamp((((place + 32) >> 6) >> d->shift) - (int64_t)d->first, 0, last);
    int tries;
    if (d->edges == NULL)
        return (uint32_t)code;
    code = clamp(code + ((place - d->edges[code]) >> 6), 0, last);
    for (tries = 0; tries < 8 && code > 0 && d->edges[code] > place; tries++)
        code--;
    for (tries = 0; tries < 8 && code < last && d->edges[code + 1] <= place; tries++)
        code++;
    return (uint32_t)code;
}

/* The code whose counts hold `target`, with the counts below it and its own. */
static uint32_t find(const density *d, uint32_t target, unsigned step, uint32_t *low, uint32_t *counts)
{
    uint32_t first = 0, last = d->count - 1, code = guess(d, target, step), reach = 1, high;
    for (;;) {
        *low = below(d, code);
        if (target < *low && code > first) {
            last = code - 1;
            code = last - first >= 2 * reach ? last + 1 - reach : first + (last - first) / 2;
        } else {
            high = below(d, code + 1);
            if (target < high || code >= last)
                break;
            first = code + 1;
            code = last - first >= 2 * reach ? first - 1 + reach : first + (last - first + 1) / 2;
        }
        reach *= 2;
    }
    *counts = high - *low;
    return code;
}

/* ---------------------------------------------------------------- range coder */

void spikey_encoder_start(spikey_encoder *encoder, uint8_t *out, size_t room)
{
    encoder->low = 0;
    encoder->width = FULL;
    encoder->out = out;
    encoder->room = room;
    encoder->at = 0;
}

/* Add one to the number written so far. */
static void carry(spikey_encoder *encoder)
{
    size_t at = encoder->at < encoder->room ? encoder->at : encoder->room;
    while (at > 0 && ++encoder->out[--at] == 0)
        ;
}

static void put_byte(spikey_encoder *encoder, uint64_t byte)
{
    if (encoder->at < encoder->room)
        encoder->out[encoder->at] = (uint8_t)(byte & 255);
    encoder->at++;
}

/* Narrow the interval to `counts` out of 2^24 above `low`. */
static void put(spikey_encoder *encoder, uint32_t low, uint32_t counts)
{
    uint64_t unit = encoder->width >> 24;
    encoder->low += unit * low;
    encoder->width = unit * counts;
    if (encoder->low >= FULL) {
        encoder->low -= FULL;
        carry(encoder);
    }
    while (encoder->width < SMALLEST) {
        put_byte(encoder, encoder->low >> 48);
        put_byte(encoder, encoder->low >> 40);
        encoder->low = (encoder->low & (SMALLEST - 1)) << 16;
        encoder->width <<= 16;
    }
}

spikey_status spikey_encoder_finish(spikey_encoder *encoder, size_t *size)
{
    uint64_t value = 0;
    int keep, i;
    for (keep = 56; keep >= 0; keep -= 8) { /* the coarsest number of the interval */
        uint64_t unit = UINT64_C(1) << keep;
        value = (encoder->low + unit - 1) & ~(unit - 1);
        if (value < encoder->low + encoder->width)
            break;
    }
    if (value >= FULL)
        carry(encoder);
    for (i = 48; i >= 0; i -= 8)
        if ((value & ((UINT64_C(256) << i) - 1)) != 0) /* else zeros are left, which a stream need not have */
            put_byte(encoder, value >> i);
    *size = 0;
    if (encoder->at > encoder->room)
        return SPIKEY_ROOM;
    while (encoder->at > 0 && encoder->out[encoder->at - 1] == 0)
        encoder->at--;
    *size = encoder->at;
    return SPIKEY_OK;
}

static uint32_t get_byte(spikey_decoder *decoder)
{
    return decoder->at < decoder->size ? decoder->data[decoder->at++] : 0;
}

void spikey_decoder_start(spikey_decoder *decoder, const uint8_t *data, size_t size)
{
    int i;
    decoder->value = 0;
    decoder->width = FULL;
    decoder->data = data;
    decoder->size = size;
    decoder->at = 0;
    for (i = 0; i < 7; i++)
        decoder->value = decoder->value << 8 | get_byte(decoder);
}

/* Where in 2^24 the code word lies; damaged data may not point past the end. */
static uint32_t target_of(const spikey_decoder *decoder)
{
    uint64_t target = decoder->value / (decoder->width >> 24);
    return target < MASS ? (uint32_t)target : MASS - 1;
}

/* The decoder's `put`. */
static void take(spikey_decoder *decoder, uint32_t low, uint32_t counts)
{
    uint64_t unit = decoder->width >> 24;
    decoder->value -= unit * low;
    decoder->width = unit * counts;
    if (decoder->value >= decoder->width) /* never in what an encoder wrote */
        decoder->value = decoder->width - 1;
    while (decoder->width < SMALLEST) {
        decoder->value = decoder->value << 8 | get_byte(decoder);
        decoder->value = decoder->value << 8 | get_byte(decoder);
        decoder->width <<= 16;
    }
}

/* ---------------------------------------------------------------- one sample */

static void encode_code(spikey_encoder *encoder, const density *d, uint32_t code)
{
    uint32_t index = (code >> d->shift) - d->first, low;
    if (index < d->count) { /* less than `first` is more than any count, being unsigned */
        low = below(d, index);
        put(encoder, low, below(d, index + 1) - low);
        if (d->shift > 0)
            put(encoder, (code & ((UINT32_C(1) << d->shift) - 1)) << (24 - d->shift), MASS >> d->shift);
    } else {
        put(encoder, d->top, ESCAPE);
        put(encoder, code << 4, 16);
    }
}

static uint32_t decode_code(spikey_decoder *decoder, const density *d, unsigned step)
{
    uint32_t target = target_of(decoder), code, low, counts;
    if (target >= d->top) {
        take(decoder, d->top, ESCAPE);
        code = target_of(decoder) >> 4;
        take(decoder, code << 4, 16);
        return code;
    }
    code = find(d, target, step, &low, &counts);
    take(decoder, low, counts);
    code = (d->first + code) << d->shift;
    if (d->shift > 0) {
        low = target_of(decoder) >> (24 - d->shift);
        take(decoder, low << (24 - d->shift), MASS >> d->shift);
        code |= low;
    }
    return code;
}

/* Before a sample's code is known, both ways: its density. */
static density foresee(const spikey_channel *channel, unsigned lane, unsigned *step)
{
    int32_t scale = channel->scale[lane];
    if (!channel->started)
        scale = (int32_t)clamp((int64_t)(bits(channel->codes) + 3) << 16, SCALE_MIN, SCALE_MAX);
    *step = (unsigned)(scale - SCALE_MIN) >> 11;
    return make_density(channel, predict(channel, lane), *step);
}

/* Once it is. */
static void learn(spikey_channel *channel, unsigned lane, const density *d, uint32_t code)
{
    int32_t position = d->edges != NULL ? (d->edges[code] + d->edges[code + 1]) >> 1 : (int32_t)(64 * code);
    if (channel->started) {
        int64_t z = standard(position - d->location, d->reciprocal);
        int64_t scale = channel->scale[lane] + updates[clamp((z < 0 ? -z : z) >> 11, 0, 96)];
        channel->scale[lane] = (int32_t)clamp(scale, SCALE_MIN, SCALE_MAX);
    }
    observe(channel, lane, position);
}

spikey_status spikey_encode(spikey_channel *channel, spikey_encoder *encoder, unsigned lane, uint32_t code)
{
    unsigned step;
    density d;
    if (code >= channel->codes)
        return SPIKEY_USAGE;
    d = foresee(channel, lane, &step);
    encode_code(encoder, &d, code);
    learn(channel, lane, &d, code);
    return SPIKEY_OK;
}

uint32_t spikey_decode(spikey_channel *channel, spikey_decoder *decoder, unsigned lane)
{
    unsigned step;
    density d = foresee(channel, lane, &step);
    uint32_t code = decode_code(decoder, &d, step);
    code = code < channel->codes ? code : channel->codes - 1; /* beyond it in damaged data only */
    learn(channel, lane, &d, code);
    return code;
}
