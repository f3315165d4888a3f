using Millrace.Embedded.Storage;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Storage;

public sealed class DiskDeviceTests : IDisposable
{
    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void File_is_written_read_renamed_while_it_is_open_and_deleted()
    {
        using var device = DiskDevice.Open(_directory.Path);
        using (var file = device.Create("a.new"))
        {
            file.Write("hello"u8, 3);
            file.Sync();
            device.Rename("a.new", "a");
            file.SetLength(6);
            file.SyncData();
            Assert.Equal(6, file.Length);
        }

        device.SyncDirectory();
        using (var file = device.Open("a", writable: false))
        {
            var bytes = new byte[10];
            Assert.Equal(6, file.Read(bytes, 0));
            Assert.Equal("\0\0\0hel"u8.ToArray(), bytes[..6]);
            Assert.Equal(0, file.Read(bytes, 6));
        }

        Assert.Equal(["LOCK", "a"], device.List().Order(StringComparer.Ordinal));
        device.Delete("a");
        Assert.Equal(["LOCK"], device.List());
        Assert.Throws<FileNotFoundException>(() => device.Open("a", writable: false));
    }

    [Fact]
    public void Lock_is_held_until_another_process_has_written_its_epoch_or_the_file_is_gone()
    {
        using var device = DiskDevice.Open(_directory.Path);
        var path = Path.Combine(_directory.Path, "LOCK");
        Assert.True(device.HoldsLock());

        File.Move(path, path + ".aside");
        Assert.False(device.HoldsLock());
        using (DiskDevice.Open(_directory.Path))
            Assert.False(device.HoldsLock());

        File.Move(path + ".aside", path, overwrite: true);
        Assert.True(device.HoldsLock());
    }

    [Fact]
    public void Full_device_is_told_apart_from_a_broken_one()
    {
        using var device = DiskDevice.Open(_directory.Path);
        using var file = device.Create("a");
        JournalFailureTests.ReplaceDescriptor(Path.Combine(_directory.Path, "a"), "/dev/full");

        Assert.Throws<StorageFullException>(() => file.Write("more than nothing"u8, 0));
        Assert.Equal(typeof(IOException), Assert.ThrowsAny<IOException>(file.Sync).GetType());
    }
}
