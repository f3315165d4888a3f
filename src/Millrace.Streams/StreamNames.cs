namespace Millrace.Streams;

/// <summary>
/// Names derived from a stream share its Redis Cluster hash slot: a name with a valid <c>{tag}</c> gets the suffix as it is
/// (<c>user:{123}:events:dead:billing</c>), any other name is wrapped (<c>{orders}:dead:billing</c>).
/// </summary>
public static class StreamNames
{
    /// <summary>The stream of entries a group gave up on, with reason and history.</summary>
    public static string DeadLetters(string stream, string group) => Derive(Origin(stream, group), $"dead:{group}");

    /// <summary>
    /// The group's private stream, which its readers block on together with the stream itself: retries, redrives and handed-back work
    /// land there and other groups never see them. The private stream of a private stream is itself.
    /// </summary>
    public static string Again(string stream, string group) => Derive(Origin(stream, group), $"again:{group}");

    /// <summary>The Redis key of a stream's state document.</summary>
    public static string State(StateKey key) => Derive(key.Stream, $"state:{key.Name}");

    /// <summary>The Redis key of a stream's schedule.</summary>
    public static string Schedule(string stream) => Derive(stream, "scheduled");

    /// <summary>Appends a suffix so that the name stays in the stream's hash slot.</summary>
    /// <exception cref="ArgumentException">The stream's name has stray braces: some, but no valid <c>{tag}</c>.</exception>
    public static string Derive(string stream, string suffix)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        return HasTag(stream) ? $"{stream}:{suffix}" : $"{{{stream}}}:{suffix}";
    }

    /// <summary>The stream that entries of a group's private stream came from; any other stream is its own origin.</summary>
    public static string Origin(string stream, string group)
    {
        var suffix = $":again:{group}";
        if (!stream.EndsWith(suffix, StringComparison.Ordinal))
            return stream;

        var origin = stream[..^suffix.Length];
        return origin.StartsWith('{') && origin.IndexOf('}', StringComparison.Ordinal) == origin.Length - 1 ? origin[1..^1] : origin;
    }

    /// <summary>
    /// Whether the name has a hash tag by the rule of Redis Cluster: the first <c>{</c>, with at least one character before the next <c>}</c>.
    /// </summary>
    /// <exception cref="ArgumentException">The name has braces that make no tag, so a wrapped name would hash elsewhere.</exception>
    public static bool HasTag(string stream)
    {
        var open = stream.IndexOf('{', StringComparison.Ordinal);
        var close = open < 0 ? -1 : stream.IndexOf('}', open);
        if (close > open + 1 && open >= 0)
            return true;
        if (open >= 0 || stream.Contains('}', StringComparison.Ordinal))
            throw new ArgumentException($"The stream name '{stream}' has stray braces: use a whole {{tag}} or none.", nameof(stream));
        return false;
    }
}
