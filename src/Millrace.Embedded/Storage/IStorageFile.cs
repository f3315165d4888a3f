namespace Millrace.Embedded.Storage;

/// <summary>
/// An open file of a <see cref="IStorageDevice"/>. One writes at a time; a sync may run beside it and covers what was written before it began.
/// </summary>
internal interface IStorageFile : IDisposable
{
    /// <summary>Bytes of the file.</summary>
    long Length { get; }

    /// <summary>Reads bytes, fewer than asked for if it likes, and zero only at the end of the file.</summary>
    int Read(Span<byte> buffer, long offset);

    /// <summary>Writes all of it, or throws with any part of it written.</summary>
    void Write(ReadOnlySpan<byte> bytes, long offset);

    /// <summary>Truncates the file or extends it with zeros.</summary>
    void SetLength(long length);

    /// <summary>Makes written bytes and the length durable. A failure is final: a second call lies, unless the bytes are written again.</summary>
    void SyncData();

    /// <summary>Makes the whole file durable, its times included. A failure is final.</summary>
    void Sync();
}
