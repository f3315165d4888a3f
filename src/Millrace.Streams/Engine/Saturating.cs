namespace Millrace.Streams.Engine;

/// <summary>Counts and times that a client can set to any value (XCLAIM, RESTORE) and that must not become negative when they go on.</summary>
internal static class Saturating
{
    /// <summary>One more, but not above the largest number.</summary>
    public static long Increment(long count) => count == long.MaxValue ? count : count + 1;

    /// <summary>The sum of two numbers that are not negative, but not above the largest number.</summary>
    public static long Add(long first, long second) => first > long.MaxValue - second ? long.MaxValue : first + second;
}
