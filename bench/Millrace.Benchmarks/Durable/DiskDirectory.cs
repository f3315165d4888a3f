namespace Millrace.Benchmarks;

/// <summary>A directory on a real disk, deleted with this object: what lies in memory would make every sync free.</summary>
internal sealed class DiskDirectory : IDisposable
{
    /// <summary>Where to make it when the temporary directory is in memory.</summary>
    private const string ParentVariable = "MILLRACE_BENCH_DIRECTORY";

    public DiskDirectory()
    {
        var parent = Environment.GetEnvironmentVariable(ParentVariable) ?? System.IO.Path.GetTempPath();
        if (new DriveInfo(parent).DriveFormat is "tmpfs" or "ramfs")
            throw new InvalidOperationException($"'{parent}' is not on a disk. Say in {ParentVariable} where one is.");
        Path = System.IO.Path.Combine(parent, $"millrace-bench-{Guid.NewGuid():N}");
        Directory.CreateDirectory(Path);
    }

    public string Path { get; }

    /// <summary>Bytes of all files in it.</summary>
    public long SizeBytes => new DirectoryInfo(Path).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length);

    /// <summary>The same files in a directory of its own.</summary>
    public DiskDirectory Copy()
    {
        var copy = new DiskDirectory();
        foreach (var file in Directory.EnumerateFiles(Path, "*", SearchOption.AllDirectories))
        {
            var target = System.IO.Path.Combine(copy.Path, System.IO.Path.GetRelativePath(Path, file));
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }

        return copy;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
