// Package trail keeps the access trail: who asked what, and what he was given. It is an append-only, hash-chained
// record; nothing in it is ever changed or removed.
//
// A trail is a folder:
//
//	2026-11-26.ndjson   the lines of one UTC day; a day without calls has no file
//	HEAD                the newest line: its number, its hash, where it ends
//	.running            is there while a service has the trail, and after a kill; a copy of the folder leaves it out
//	torn-17-1.bin       what a killed service left of a line before line 17, whose start line names it
//
// A line is a JSON object in ASCII or printable UTF-8 and ends with a newline. Its members seq, prev, time and event come first. seq counts
// from 1 without a gap over all days; prev is the hexadecimal SHA-256 of the line before, newline included, over the
// border of days and restarts too, and 64 zeros in line 1. docs/access.md describes the other members.
//
// What it promises: [Trail.AppendSync] returns after the line is on disk, [Trail.Append] puts it there within a second.
// While the disk takes no lines [Trail.Ready] says so, and the service refuses to answer.
//
// What it shows: [Verify] finds each line that was changed, moved, added or taken out, with the day and number. HEAD
// shows that the newest lines are missing, unless it was rewritten too; against somebody who rewrites everything from one
// line on helps only a head that was noted elsewhere.
package trail
