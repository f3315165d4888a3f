using System.Text;

namespace Millrace.WorkQueues;

/// <summary>Who has a unique key: the letter of how long, and the job's ID.</summary>
/// <param name="JobId">The job.</param>
/// <param name="IsWindow">Whether the key is kept for a time, whatever becomes of the job; otherwise only while the job is known.</param>
internal readonly record struct UniqueHolder(string JobId, bool IsWindow)
{
    private const byte Window = (byte)'w';
    private const byte Held = (byte)'h';

    public static byte[] Write(string jobId, bool isWindow) => [isWindow ? Window : Held, .. Encoding.UTF8.GetBytes(jobId)];

    /// <exception cref="FormatException">It is something else.</exception>
    public static UniqueHolder Read(ReadOnlySpan<byte> text) => text.Length > 1 && text[0] is Window or Held
        ? new(Encoding.UTF8.GetString(text[1..]), text[0] == Window)
        : throw new FormatException("The document of a unique key names no job.");
}
