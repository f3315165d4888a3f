using System.Security.Cryptography;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>Makes the files of a data directory, so that a crash at any moment leaves all of one or nothing of it.</summary>
internal static class JournalFiles
{
    /// <summary>Makes the segment when there is none, and returns its name.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: the directory holds segments of a later release.</exception>
    public static string EnsureSegment(IStorageDevice device)
    {
        var name = JournalFormat.SegmentFileName(1);
        var segments = device.List().Where(file => file.EndsWith(".journal", StringComparison.Ordinal)).ToList();
        if (segments.Find(file => file != name) is { } other)
            throw new StreamException(
                StreamErrorCode.Corrupt,
                $"'{Path.Combine(device.Path, other)}' is not a journal this release knows: it reads '{name}' alone. A newer release may have written it.");
        if (segments.Count == 0)
            CreateSegment(device, name);
        return name;
    }

    /// <summary>Written aside and renamed, so that a segment that exists has a whole header: a shorter file is damage, never a crash of ours.</summary>
    private static void CreateSegment(IStorageDevice device, string name)
    {
        Span<byte> bytes = stackalloc byte[JournalFormat.SegmentHeaderBytes];
        JournalFormat.WriteSegmentHeader(bytes, new(Segment: 1, FirstLsn: 1, Salt: BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)))));
        var temporary = name + ".new";
        using (var file = device.Create(temporary))
        {
            file.Write(bytes, 0);
            file.Sync();
        }

        device.Rename(temporary, name);
        device.SyncDirectory();
    }
}
