using System.Security.Cryptography;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>Makes the files of a data directory, so that a crash at any moment leaves all of one or nothing of it.</summary>
internal static class JournalFiles
{
    /// <summary>Makes the directory and those above it, for their owner alone, and their names durable.</summary>
    public static void CreateDirectory(string directory)
    {
        if (Directory.Exists(directory) || Path.GetDirectoryName(directory) is not { } parent)
            return;

        CreateDirectory(parent);
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(directory);
        else
            Directory.CreateDirectory(directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        DurableFile.SyncDirectory(parent);
    }

    /// <summary>Makes the segment when there is none, and returns its path. The caller holds the directory's lock.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: the directory holds segments of a later release.</exception>
    public static string EnsureSegment(string directory)
    {
        var path = Path.Combine(directory, JournalFormat.SegmentFileName(1));
        RefuseUnknownSegments(directory, path);
        if (!File.Exists(path))
            CreateSegment(directory, path);
        return path;
    }

    /// <summary>Segments above the first come with a later release; to read the first one alone would drop what they hold.</summary>
    private static void RefuseUnknownSegments(string directory, string path)
    {
        var other = Directory.EnumerateFiles(directory, "*.journal").FirstOrDefault(file => file != path);
        if (other is not null)
            throw new StreamException(
                StreamErrorCode.Corrupt,
                $"'{other}' is not a journal this release knows: it reads '{Path.GetFileName(path)}' alone. A newer release may have written it.");
    }

    /// <summary>Written aside and renamed, so that a segment that exists has a whole header: a shorter file is damage, never a crash of ours.</summary>
    private static void CreateSegment(string directory, string path)
    {
        Span<byte> bytes = stackalloc byte[JournalFormat.SegmentHeaderBytes];
        JournalFormat.WriteSegmentHeader(bytes, new(Segment: 1, FirstLsn: 1, Salt: BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)))));
        var temporary = path + ".new";
        using (var file = File.OpenHandle(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            RandomAccess.Write(file, bytes, 0);
            DurableFile.Sync(file);
        }

        File.Move(temporary, path);
        DurableFile.SyncDirectory(directory);
    }
}
