/* Spikey's real-time codec for firmware: linear prediction, calibrated density, range coder. C99, integers only.
 *
 * A channel predicts and learns, a coder holds the compressed bytes; the two are separate. Many channels can share one
 * coder, and one channel can be cut into lanes that have a coder each. Nothing is allocated: the caller provides every
 * struct, and a memset or a new start() makes it forget its past. Sections are those of docs/format.md.
 *
 * One channel, as it comes in:                      The other side:
 *
 *     spikey_start(&c, 1024, &spikey_n1, 60, 1, 1);     the same
 *     spikey_encoder_start(&e, buffer, sizeof buffer);  spikey_decoder_start(&d, packet, size);
 *     for each sample:                                  for each sample:
 *         spikey_encode(&c, &e, 0, code);                   code = spikey_decode(&c, &d, 0);
 *         spikey_step(&c);                                  spikey_step(&c);
 *     spikey_encoder_finish(&e, &size);
 *
 * Packets of a group of channels: one coder for the group, started anew for every packet; for each instant, encode() and
 * step() of each channel in a fixed order. Channels go on from packet to packet, so a packet needs all since the last
 * start(); where packets can be lost, start() all channels again at regular ones.
 */
#ifndef SPIKEY_H
#define SPIKEY_H

#include <stddef.h>
#include <stdint.h>

#ifndef SPIKEY_LANES
#define SPIKEY_LANES 16 /* that a channel can be cut into, at most; files may use 16, firmware is well served by 1 */
#endif
#ifndef SPIKEY_CHUNK
#define SPIKEY_CHUNK 16 /* samples that are kept before their products are summed: memory against calls; any number */
#endif
#define SPIKEY_ORDER 20
#define SPIKEY_SEGMENT 256u       /* samples of all lanes between two solutions */
#define SPIKEY_NARROW 4096        /* codes of an alphabet with listed edges, at most */
#define SPIKEY_WIDEST (1L << 20)  /* codes of any alphabet, at most */

typedef enum {
    SPIKEY_OK,
    SPIKEY_DAMAGED,     /* the data are no Spikey data, or damaged */
    SPIKEY_UNSUPPORTED, /* valid or not: something that this implementation leaves out */
    SPIKEY_ROOM,        /* the room that the caller provides does not suffice */
    SPIKEY_USAGE        /* an argument is out of range */
} spikey_status;

/* A converter's tables (section 9). `edges` has codes + 1 entries, `prior` has `lags`; 2 <= codes <= SPIKEY_NARROW,
 * edges increase and are within +-2^20, |prior[k]| <= prior[0] <= 2^26. They are not checked. */
typedef struct {
    const int32_t *edges;
    const int32_t *prior;
    uint16_t codes;
    uint16_t lags;
    uint8_t id[4];
} spikey_calibration;

extern const spikey_calibration spikey_n1; /* the converter of the Neuralink N1 implant */

/* All that is known of one channel. */
typedef struct {
    const spikey_calibration *calibration;             /* or NULL */
    int64_t correlations[SPIKEY_ORDER + 1];            /* of the signal, forgetting */
    int64_t products[SPIKEY_LANES][SPIKEY_ORDER + 1];  /* of the segment's samples so far */
    int32_t weights[SPIKEY_ORDER];                     /* oldest sample first, 1/65536 */
    int32_t signal[SPIKEY_LANES][SPIKEY_ORDER + SPIKEY_CHUNK]; /* the last samples before the chunk, the chunk */
    int32_t last[SPIKEY_LANES];                        /* the position before; the middle of the alphabet at first */
    int32_t scale[SPIKEY_LANES];                       /* log2 of the residual's deviation, 1/65536 */
    uint32_t codes;
    uint16_t done;   /* steps of this segment */
    uint16_t length; /* of this segment in steps */
    uint16_t filled; /* steps of this chunk */
    uint8_t lanes;
    uint8_t delta;
    uint8_t started; /* not before the first step ends */
} spikey_channel;

/* A range coder that writes, into `room` bytes at `out`. */
typedef struct {
    uint64_t low, width;
    uint8_t *out;
    size_t room;
    size_t at; /* bytes written; beyond `room`: they did not fit */
} spikey_encoder;

/* A range coder that reads `size` bytes at `data`, and zeros after them. */
typedef struct {
    uint64_t value, width;
    const uint8_t *data;
    size_t size;
    size_t at;
} spikey_decoder;

/* Start a channel of `codes` codes (2 to SPIKEY_WIDEST). calibration: of as many codes, or NULL. scale: a header's byte
 * for the deviation expected, log2 in 1/8 above 4/64 LSB, 0 to 255. lanes: 1 to SPIKEY_LANES. delta: whether differences
 * are predicted; 1 is usual. SPIKEY_USAGE where something is out of range. */
spikey_status spikey_start(
    spikey_channel *channel, uint32_t codes, const spikey_calibration *calibration, unsigned scale, unsigned lanes,
    int delta);

void spikey_encoder_start(spikey_encoder *encoder, uint8_t *out, size_t room);
void spikey_decoder_start(spikey_decoder *decoder, const uint8_t *data, size_t size);

/* Code the next sample of a lane. Encoding refuses a code outside the alphabet with SPIKEY_USAGE and changes nothing;
 * decoding gives a code of the alphabet whatever the data are. The lane must be less than the channel's lanes. */
spikey_status spikey_encode(spikey_channel *channel, spikey_encoder *encoder, unsigned lane, uint32_t code);
uint32_t spikey_decode(spikey_channel *channel, spikey_decoder *decoder, unsigned lane);

/* Once every lane has coded a sample: go on to the next. A lane that has ended is left out. Every SPIKEY_SEGMENT samples
 * (more often at first) this solves for new weights, which takes longer than all other steps. */
void spikey_step(spikey_channel *channel);

/* End the stream with as few bytes as tell it from all others; *size: how many it has. SPIKEY_ROOM: it did not fit. */
spikey_status spikey_encoder_finish(spikey_encoder *encoder, size_t *size);

#endif
