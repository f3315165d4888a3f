namespace Millrace.Streams;

/// <summary>
/// Names derived from a stream share its Redis Cluster hash slot: a name with a valid <c>{tag}</c> gets the suffix as it is
/// (<c>user:{123}:events:dead:billing</c>), any other name is wrapped (<c>{orders}:dead:billing</c>).
/// </summary>
public static class StreamNames
{
    private const string StateSeparator = ":state:";

    /// <summary>The stream of entries a group gave up on, with reason and history.</summary>
    public static string DeadLetters(string stream, string group) => Derive(Origin(stream, group), $"dead:{group}");

    /// <summary>Whether a stream has a name that <see cref="DeadLetters"/> gives: what its entries say of their history is the framework's.</summary>
    public static bool IsDeadLetters(string stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        var tag = stream.IndexOf('}', StringComparison.Ordinal);
        return tag > 0 && stream.AsSpan(tag).Contains(":dead:", StringComparison.Ordinal);
    }

    /// <summary>The stream of notes on who redrove or deleted which dead letter of a group.</summary>
    public static string DeadLetterAudit(string stream, string group) => $"{DeadLetters(stream, group)}:audit";

    /// <summary>
    /// The group's private stream, which its readers block on together with the stream itself: retries, redrives and handed-back work
    /// land there and other groups never see them. The private stream of a private stream is itself.
    /// </summary>
    public static string Again(string stream, string group) => Derive(Origin(stream, group), $"again:{group}");

    /// <summary>The stream of a priority lane.</summary>
    public static string Lane(string stream, string lane) => Derive(stream, $"lane:{lane}");

    /// <summary>The stream of notes of a group that is ordered: parked keys, and what operators ask for.</summary>
    public static string Order(string stream, string group) => Derive(Origin(stream, group), $"order:{group}");

    /// <summary>The Redis key of a stream's state document.</summary>
    public static string State(StateKey key) => Derive(key.Stream, $"state:{key.Name}");

    /// <summary>Finds a document that has this Redis key. Names with the separator in them can leave several, of which any will do.</summary>
    internal static bool TryParseState(string redisKey, out StateKey key)
    {
        key = default;
        if (redisKey.Length > StreamLimits.MaxNameBytes)
            return false;
        for (var at = 0; (at = redisKey.IndexOf(StateSeparator, at, StringComparison.Ordinal)) >= 0; at++)
        {
            key = new(Unwrap(redisKey[..at]), redisKey[(at + StateSeparator.Length)..]);
            if (key.Stream.Length > 0 && key.Name.Length > 0 && CanDerive(key.Stream) && State(key) == redisKey)
                return true;
        }

        return false;
    }

    /// <summary>The Redis key of a stream's schedule.</summary>
    public static string Schedule(string stream) => Derive(stream, "scheduled");

    /// <summary>Appends a suffix so that the name stays in the stream's hash slot.</summary>
    /// <exception cref="ArgumentException">See <see cref="CanDerive"/>.</exception>
    public static string Derive(string stream, string suffix)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        if (!CanDerive(stream))
            throw new ArgumentException(
                $"The stream name '{stream}' has stray braces, or is nothing but a tag: use a whole {{tag}} with something around it, or none.",
                nameof(stream));
        return stream.Contains('{', StringComparison.Ordinal) ? $"{stream}:{suffix}" : $"{{{stream}}}:{suffix}";
    }

    /// <summary>The stream that entries of a group's private stream came from; any other stream is its own origin.</summary>
    public static string Origin(string stream, string group)
    {
        var suffix = $":again:{group}";
        if (!stream.EndsWith(suffix, StringComparison.Ordinal))
            return stream;

        return Unwrap(stream[..^suffix.Length]);
    }

    /// <summary>The name that was wrapped for the one it is derived from.</summary>
    private static string Unwrap(string name) =>
        name.StartsWith('{') && name.IndexOf('}', StringComparison.Ordinal) == name.Length - 1 ? name[1..^1] : name;

    /// <summary>
    /// Whether names can be derived from a stream's. Not from one with stray braces, which make no tag by the rule of Redis Cluster (the
    /// first <c>{</c>, with at least one character before the next <c>}</c>): a wrapped name would hash elsewhere. And not from one that is
    /// nothing but a tag: the names derived from <c>{orders}</c> are those of <c>orders</c>.
    /// </summary>
    public static bool CanDerive(string stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        var open = stream.IndexOf('{', StringComparison.Ordinal);
        if (open < 0)
            return !stream.Contains('}', StringComparison.Ordinal);
        var close = stream.IndexOf('}', open);
        return close > open + 1 && (open > 0 || close < stream.Length - 1);
    }
}
