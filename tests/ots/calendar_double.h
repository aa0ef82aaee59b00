/* calendar_double.h: a calendar for tests, which misbehaves in each way that we must survive. */
#ifndef OWM_TEST_CALENDAR_DOUBLE_H
#define OWM_TEST_CALENDAR_DOUBLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum calendar_mood {
    CALENDAR_PROMISES, /* Submissions are promised; timestamps are "Pending confirmation". */
    CALENDAR_MINED,    /* Timestamps lead to `height`: its merkle root is sha256(commitment). */
    CALENDAR_LIES,     /* Timestamps are well formed and lead elsewhere. */
    CALENDAR_SILENT,   /* Takes the request and never answers. */
    CALENDAR_GARBAGE,
    CALENDAR_UNKNOWN, /* An attestation of an unknown kind alone. */
    CALENDAR_BOASTS,  /* Promises for another calendar, too. */
    CALENDAR_FORGES,  /* Promises, and names a block at once. */
    CALENDAR_CROWDS,  /* One promise among a thousand operations. */
    CALENDAR_REDIRECTS,
    CALENDAR_FLOODS, /* 1 GB, as fast as it is taken. */
    CALENDAR_BROKEN, /* HTTP 500 with letters that drive terminals. */
};

struct calendar {
    _Atomic enum calendar_mood mood;
    _Atomic unsigned requests;
    _Atomic uint64_t sent_bytes;
    uint64_t height;
    uint8_t digest[64], commitment[64]; /* Of the last submission; of the last timestamp asked. */
    int listener;
    _Atomic int open; /* The connection in progress. */
    _Atomic int closing;
    pthread_t thread;
    char url[64]; /* http://127.0.0.1:PORT */
};

void calendar_open(struct calendar *calendar, enum calendar_mood mood);
void calendar_close(struct calendar *calendar);

#endif
