using System.Globalization;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;

namespace Millrace.Embedded.Inspection;

/// <summary>The files of a data directory as they were listed, to be read only. Nothing is locked.</summary>
internal sealed class DataDirectory
{
    public const string LockName = "LOCK";

    private const string SegmentSuffix = ".journal";
    private const string SnapshotSuffix = ".snapshot";

    /// <summary>Digits of the number in a name.</summary>
    private const int Digits = 20;

    private readonly string[] _names;

    private DataDirectory(string path, string[] names)
    {
        (Path, _names) = (path, names);
        Segments = Numbered(SegmentSuffix);
        Snapshots = Numbered(SnapshotSuffix);
    }

    public string Path { get; }

    /// <summary>The segments by number.</summary>
    public IReadOnlyList<(long Number, string Name)> Segments { get; }

    /// <summary>The snapshots by the LSN they cover.</summary>
    public IReadOnlyList<(long Number, string Name)> Snapshots { get; }

    /// <summary>All other files.</summary>
    public IEnumerable<string> Others =>
        _names.Except(Segments.Select(static file => file.Name)).Except(Snapshots.Select(static file => file.Name));

    /// <exception cref="DirectoryNotFoundException">There is no such directory.</exception>
    public static DataDirectory List(string path)
    {
        path = System.IO.Path.TrimEndingDirectorySeparator(System.IO.Path.GetFullPath(path));
        return Directory.Exists(path) ? new(path, Names(path)) : throw new DirectoryNotFoundException($"'{path}' is not a directory.");
    }

    /// <summary>Whether a name has the ending of a segment or snapshot, and no number before it.</summary>
    public static bool IsMisnamed(string name) =>
        name.EndsWith(SegmentSuffix, StringComparison.Ordinal) || name.EndsWith(SnapshotSuffix, StringComparison.Ordinal);

    /// <summary>Whether the directory has the same files now.</summary>
    public bool IsUnchanged() => Names(Path).SequenceEqual(_names);

    public string PathOf(string name) => System.IO.Path.Combine(Path, name);

    public IStorageFile Open(string name) =>
        new DiskFile(File.OpenHandle(PathOf(name), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));

    private static string[] Names(string path) =>
        [.. Directory.EnumerateFiles(path).Select(static file => System.IO.Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    private List<(long Number, string Name)> Numbered(string suffix)
    {
        var files = new List<(long Number, string Name)>();
        foreach (var name in _names)
        {
            if (name.Length == Digits + suffix.Length && name.EndsWith(suffix, StringComparison.Ordinal)
                && long.TryParse(name.AsSpan(0, Digits), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                files.Add((number, name));
        }

        return files;
    }
}
