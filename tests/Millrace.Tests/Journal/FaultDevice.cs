using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Storage;

namespace Millrace.Tests.Journal;

/// <summary>A real directory whose calls fail when the test says so; counts the faults.</summary>
internal sealed class FaultDevice(string path) : IStorageDevice
{
    private readonly DiskDevice _disk = DiskDevice.Open(path);

    /// <summary>Asked before each call, with the call's name and the file; what it returns is thrown.</summary>
    public Func<string, string, Exception?> Fault { get; set; } = static (_, _) => null;

    /// <summary>Lets the device be full from the moment on at which the store has appended a record with this text, and is about to write it.</summary>
    public void FillUpAt(EmbeddedStreamStore store, string text) => store.Recorded = record =>
    {
        if (record.IndexOf(Encoding.UTF8.GetBytes(text)) < 0)
            return;
        store.Recorded = null;
        Fault = static (call, _) => call == nameof(IStorageFile.Write) ? new StorageFullException("No space left on device") : null;
    };

    /// <summary>Faults that fired.</summary>
    public int Fired { get; private set; }

    /// <summary>Bytes that were written, also by writes that failed then.</summary>
    public long WrittenBytes { get; private set; }

    public string Path => _disk.Path;

    public IReadOnlyList<string> List() => _disk.List();

    public IStorageFile Create(string name) => new FaultFile(this, name, Ask(nameof(Create), name, _disk.Create(name)));

    public IStorageFile Open(string name, bool writable) => new FaultFile(this, name, Ask(nameof(Open), name, _disk.Open(name, writable)));

    public void Rename(string from, string to)
    {
        Ask(nameof(Rename), from);
        _disk.Rename(from, to);
    }

    public void Delete(string name)
    {
        Ask(nameof(Delete), name);
        _disk.Delete(name);
    }

    public void SyncDirectory()
    {
        Ask(nameof(SyncDirectory), "");
        _disk.SyncDirectory();
    }

    public bool HoldsLock()
    {
        Ask(nameof(HoldsLock), "");
        return _disk.HoldsLock();
    }

    public void Dispose() => _disk.Dispose();

    private void Ask(string call, string name)
    {
        if (Fault(call, name) is not { } fault)
            return;
        Fired++;
        throw fault;
    }

    private IStorageFile Ask(string call, string name, IStorageFile file)
    {
        try
        {
            Ask(call, name);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    private sealed class FaultFile(FaultDevice device, string name, IStorageFile file) : IStorageFile
    {
        public long Length => file.Length;

        public int Read(Span<byte> buffer, long offset) => file.Read(buffer, offset);

        /// <summary>A write that fails leaves its first half behind.</summary>
        public void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            try
            {
                device.Ask(nameof(Write), name);
            }
            catch
            {
                file.Write(bytes[..(bytes.Length / 2)], offset);
                device.WrittenBytes += bytes.Length / 2;
                throw;
            }

            file.Write(bytes, offset);
            device.WrittenBytes += bytes.Length;
        }

        public void SetLength(long length)
        {
            device.Ask(nameof(SetLength), name);
            file.SetLength(length);
        }

        public void SyncData()
        {
            device.Ask(nameof(SyncData), name);
            file.SyncData();
        }

        public void Sync()
        {
            device.Ask(nameof(Sync), name);
            file.Sync();
        }

        public void Dispose() => file.Dispose();
    }
}
