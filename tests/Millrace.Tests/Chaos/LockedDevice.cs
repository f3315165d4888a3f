using Millrace.Embedded.Storage;

namespace Millrace.Tests.Chaos;

/// <summary>A simulated device is made for one thread; this one lets several use it, one at a time.</summary>
internal sealed class LockedDevice(IStorageDevice device) : IStorageDevice
{
    private readonly Lock _lock = new();

    public string Path => device.Path;

    public IReadOnlyList<string> List() => Locked(device.List);

    public IStorageFile Create(string name) => Locked(() => new LockedFile(this, device.Create(name)));

    public IStorageFile Open(string name, bool writable) => Locked(() => new LockedFile(this, device.Open(name, writable)));

    public void Rename(string from, string to) => Locked(() => device.Rename(from, to));

    public void Delete(string name) => Locked(() => device.Delete(name));

    public void SyncDirectory() => Locked(device.SyncDirectory);

    public bool HoldsLock() => Locked(device.HoldsLock);

    public void Dispose() => device.Dispose();

    private T Locked<T>(Func<T> operation)
    {
        lock (_lock)
            return operation();
    }

    private void Locked(Action operation)
    {
        lock (_lock)
            operation();
    }

    private sealed class LockedFile(LockedDevice device, IStorageFile file) : IStorageFile
    {
        public long Length => device.Locked(() => file.Length);

        public int Read(Span<byte> buffer, long offset)
        {
            lock (device._lock)
                return file.Read(buffer, offset);
        }

        public void Write(ReadOnlySpan<byte> bytes, long offset)
        {
            lock (device._lock)
                file.Write(bytes, offset);
        }

        public void SetLength(long length) => device.Locked(() => file.SetLength(length));

        public void SyncData() => device.Locked(file.SyncData);

        public void Sync() => device.Locked(file.Sync);

        public void Dispose() => file.Dispose();
    }
}
