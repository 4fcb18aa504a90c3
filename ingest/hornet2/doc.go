// Package hornet2 asks Hornet 2.x nodes over their REST core API v2 (TIP-25): raw units and records,
// and metadata as claims. It believes nothing and proves nothing; it bounds what it reads, in bytes
// and in time, and refuses whatever does not have the form that was asked for.
//
// Habits of this node software that are met here: pruned and unknown look alike (404) and are told
// apart by pruningIndex; isHealthy stays false on a node without peers and is not looked at; a unit
// may be served by index before it is confirmed, so the newest is confirmedMilestone.
package hornet2
