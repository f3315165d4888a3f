namespace Millrace.Tests.Differential;

/// <summary>
/// Everything in which we answer otherwise than redis-server 7.0.15, because we are as Redis 8.10 is. Nothing else is forgiven, and each has
/// a test of its own in <see cref="VersionChangeTests"/>. The words are those of the list of changes by version.
/// </summary>
internal static class VersionChanges
{
    /// <summary>Fields left out of our reply before it is compared.</summary>
    public static readonly VersionChange ConsumerInactive = new(
        "consumer-inactive", "7.2: XINFO CONSUMERS gains `inactive`, `idle` now means last attempt; XINFO STREAM FULL consumers gain `active-time`");

    /// <summary>Fields left out of our reply before it is compared.</summary>
    public static readonly VersionChange IdempotenceFields = new("idempotence-fields", "8.6: six XINFO STREAM fields");

    /// <summary>Field left out of our reply before it is compared.</summary>
    public static readonly VersionChange NackedCount = new("nacked-count", "8.8: XINFO STREAM FULL groups gain nacked-count");

    /// <summary>The one error for the other; and a read that 7.0 wakes with nothing in it waits on, so that it is ended with CLIENT UNBLOCK.</summary>
    public static readonly VersionChange BlockedReadReruns = new(
        "blocked-read-reruns",
        "7.2: blocked XREADGROUP re-runs the command when its key changes, so it ends with -NOGROUP or -WRONGTYPE where 7.0 said -UNBLOCKED");

    /// <summary>
    /// The generator lets XGROUP CREATECONSUMER follow each such command, so that both servers know the consumer again, and its reply is
    /// not compared; in transactions and before reads that block it precedes, and its reply is compared.
    /// </summary>
    public static readonly VersionChange ConsumerAlwaysCreated = new(
        "consumer-always-created", "7.2: XCLAIM, XAUTOCLAIM and XREADGROUP > create the consumer even if nothing is delivered (7.0.15 does not)");

    /// <summary>
    /// When only we refuse, the key is deleted on both servers; when an entry is above the ID as well, this error comes first. In transactions
    /// the generator has no XSETID.
    /// </summary>
    public static readonly VersionChange SetIdBelowMaxDeleted = new(
        "xsetid-below-max-deleted", "7.2: XSETID refuses an id below max-deleted-entry-id");

    /// <summary>The one text for the other.</summary>
    public static readonly VersionChange UnbalancedText = new(
        "unbalanced-text", "7.2: error text \"Unbalanced 'xread' list of streams...\" names the command");

    /// <summary>The one text for the other.</summary>
    public static readonly VersionChange FullMillisecondText = new(
        "full-millisecond-text",
        "7.2: `<ms>-*` on a full millisecond says \"equal or smaller\" (7.0 said \"Elements are too large to be stored\")");

    /// <summary>
    /// When `lag` or `entries-read` differ, ours must follow the rules from the stream's own figures (<see cref="LagRule"/>). XINFO GROUPS
    /// shows none of them, so the generator lets it follow XINFO STREAM FULL, and ours must say the same in both.
    /// </summary>
    public static readonly VersionChange Lag = new(
        "lag", "8.0: lag: consumer groups behind the first entry use the stream length (two fixes)");

    /// <summary>The number is lowered to entries-added before it is sent to either; transactions have only 0 and -1.</summary>
    public static readonly VersionChange EntriesReadClamped = new(
        "entries-read-clamped", "8.2: ENTRIESREAD above entries-added is clamped (7.0.15 does not)");

    /// <summary>The one text for the other.</summary>
    public static readonly VersionChange UnknownCommandTail = new(
        "unknown-command-tail", "8.6 drops the tail \", with args beginning with:\" of the unknown-command error when there are no arguments");

    /// <summary>
    /// While a read waits, the generator's transactions hold one write, and while it waits for several keys there is no SWAPDB. No read that waits
    /// names a key twice: its run anew answers twice, as any other.
    /// </summary>
    public static readonly VersionChange WokenByTransaction = new(
        "woken-by-transaction",
        "7.2: two keys written in one transaction come back together in call order (7.0: only the first written); XADD then XDEL in one "
        + "transaction: stays blocked (7.0: [[key, []]])");

    /// <summary>7.0.15 has none of these, so the generator does not either; the commands' own tests have them.</summary>
    public static readonly VersionChange NewWords = new(
        "new-words",
        "7.4: XREAD accepts id `+`, and XREADGROUP says why it does not; 8.2: XDELEX, XACKDEL, KEEPREF / DELREF / ACKED; 8.4: XREADGROUP CLAIM; "
        + "8.6: XADD IDMP / IDMPAUTO, XCFGSET; 8.8: XNACK; 8.10: MAXCOUNT and MAXSIZE");
}

/// <summary>A change between the version we are compared with and the version we report.</summary>
/// <param name="Name">Short, for counts.</param>
/// <param name="Words">What the list of changes says.</param>
internal sealed record VersionChange(string Name, string Words);
