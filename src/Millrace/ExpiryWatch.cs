using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Tells when a document that others write with a time to live is over: when the store has forgotten it, and at the latest when this process has seen it
/// unchanged for twice its time. Redis notes the end as a time of day, and keeps the document until that comes again when its clock is set back. One for each
/// document; not safe for concurrent use.
/// </summary>
/// <remarks>
/// The document says how long it lives, so that processes with other settings leave it its time. Each put gives it another version, also with the same
/// content, so that who renews it within its time keeps it. All this only says when another may begin, which puts it on the condition that it is still absent,
/// or of the version that was over: one of several begins. That the one before, slow and not dead, does no harm rests on the conditions of its own commits.
/// </remarks>
internal sealed class ExpiryWatch(TimeProvider time)
{
    // The version as last seen, and since when it is the same.
    private long? _version;
    private long _since;

    /// <summary>Writes the document: its time to live in milliseconds, and for people whose it is.</summary>
    public static CommitChange.PutState Put(StateKey key, TimeSpan timeToLive, string owner) =>
        new(key, Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{timeToLive.TotalMilliseconds:F0} {owner}")), timeToLive);

    /// <summary>Whether it is over. To be asked with each look, since its time counts from the first that saw this version.</summary>
    public bool IsOver(StateDocument? document)
    {
        if (document is null)
            return true;
        if (document.Version != _version)
            (_version, _since) = (document.Version, time.GetTimestamp());

        // A document of an earlier version says nothing of its time, and the name of a machine may begin with digits.
        var payload = document.Payload.Span;
        return Utf8Parser.TryParse(payload, out long timeMs, out var length) && payload[length..] is [(byte)' ', ..] &&
            time.GetElapsedTime(_since).TotalMilliseconds >= 2.0 * timeMs;
    }
}
