namespace Millrace.Resp;

/// <summary>
/// What one frame may ask for. Checked when a header is read, before the bytes it announces are waited for or stored, on both sides: a
/// client is not safe from a confused server.
/// </summary>
public sealed record RespLimits
{
    /// <summary>The defaults, which suit a client.</summary>
    public static RespLimits Default { get; } = new();

    /// <summary>Bytes of a whole frame. Default 64 MiB: a read of 10,000 entries of 6 KiB.</summary>
    public int MaxFrameBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Bytes of one bulk string. Default 16 MiB: the largest entry field, state document or script with room to spare.</summary>
    public int MaxBulkBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Elements of a frame on all levels, its root included. Default 4,194,304: 10,000 entries of 200 fields.</summary>
    public int MaxElements { get; init; } = 4 * 1024 * 1024;

    /// <summary>Levels of arrays, maps, sets, pushes and attributes inside each other. Default 16; the deepest stream
    /// reply has 5.</summary>
    public int MaxDepth { get; init; } = 16;

    /// <summary>Bytes of a simple string, an error, a double or a big number. Default 64 KiB.</summary>
    public int MaxLineBytes { get; init; } = 64 * 1024;
}
